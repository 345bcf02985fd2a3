/*
 * guc.c
 *	  The settings in postgresql.conf: their definitions, checks and values.
 */
#include "pinterest_capi.h"

#include "common/guc.h"
#include "fmgr.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

bool		pcapi_dispatch = true;
int			pcapi_max_concurrent_requests = 4;
int			pcapi_request_timeout = 30;
int			pcapi_connect_timeout = 10;
char	   *pcapi_retention;
char	   *pcapi_payload_retention;
char	   *pcapi_click_id_retention;
char	   *pcapi_statistics_retention;
char	   *pcapi_ca_file;
char	   *pcapi_proxy;
char	   *pcapi_senders;
bool		pcapi_log_suppressed = true;
bool		pcapi_preloaded = false;

/* limit of an interval: the time of an event less 1000 years is still a timestamp */
#define MAX_YEARS	1000

/*
 * Check that a setting is an interval, not negative and of at most MAX_YEARS.
 * interval_in would raise an ERROR, which a check hook must not do, so the text is
 * parsed by the functions that interval_in calls.
 */
static bool
check_interval(char **newval, void **extra, GucSource source)
{
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	char		workbuf[256];
	struct pg_itm_in itm;
	Interval	span;
	int			nf;
	int			dtype;

	if (ParseDateTime(*newval, workbuf, sizeof(workbuf), field, ftype,
					  MAXDATEFIELDS, &nf) != 0 ||
		DecodeInterval(field, ftype, nf, INTERVAL_FULL_RANGE, &dtype, &itm) != 0 ||
		dtype != DTK_DELTA ||
		itmin2interval(&itm, &span) != 0)
	{
		GUC_check_errdetail("The value must be an interval, such as \"30 days\".");
		return false;
	}
	if (span.time < 0 || span.day < 0 || span.month < 0)
	{
		GUC_check_errdetail("The interval must not be negative.");
		return false;
	}
	if (span.month / (double) MONTHS_PER_YEAR + span.day / 366.0 + span.time / (366.0 * USECS_PER_DAY) > MAX_YEARS)
	{
		GUC_check_errdetail("The interval must not be longer than %d years.", MAX_YEARS);
		return false;
	}
	return true;
}

/* Check that a setting is a list of names. */
static bool
check_list(char **newval, void **extra, GucSource source)
{
	char	   *list = pstrdup(*newval);
	List	   *names;
	bool		ok = SplitGUCList(list, ',', &names);

	if (!ok)
		GUC_check_errdetail("The value must be a list of names with commas between them.");
	list_free(names);
	pfree(list);
	return ok;
}

void
pcapi_define_settings(void)
{
	DefineCustomBoolVariable("pinterest_capi.dispatch",
							 "Sends queued events from this server.",
							 "When off, this server only enqueues.",
							 &pcapi_dispatch, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("pinterest_capi.max_concurrent_requests",
							"Maximum number of requests that are out at once for each destination.",
							NULL,
							&pcapi_max_concurrent_requests, 4, 1, 32, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pinterest_capi.request_timeout",
							"Time limit for a whole request, answer included.",
							NULL,
							&pcapi_request_timeout, 30, 1, 3600, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pinterest_capi.connect_timeout",
							"Time limit for making a connection, name look-up and TLS included.",
							NULL,
							&pcapi_connect_timeout, 10, 1, 3600, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.retention",
							   "How long rows of events are kept once their state is final.",
							   NULL,
							   &pcapi_retention, "30 days", PGC_SIGHUP, 0,
							   check_interval, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.payload_retention",
							   "How long the payload of events is kept once their state is final.",
							   NULL,
							   &pcapi_payload_retention, "7 days", PGC_SIGHUP, 0,
							   check_interval, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.click_id_retention",
							   "How long the click id of a visitor is used for his events, and kept.",
							   NULL,
							   &pcapi_click_id_retention, "30 days", PGC_SIGHUP, 0,
							   check_interval, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.statistics_retention",
							   "How long the statistics of events are kept.",
							   NULL,
							   &pcapi_statistics_retention, "13 months", PGC_SIGHUP, 0,
							   check_interval, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.ca_file",
							   "File with the certificates of authorities that the API's certificate may come from.",
							   "Empty: the system's.",
							   &pcapi_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.proxy",
							   "URL of an HTTP proxy to reach the API through.",
							   "Empty: none; the environment is not looked at.",
							   &pcapi_proxy, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("pinterest_capi.senders",
							   "Names of the hosts whose servers send.",
							   "A name may end with *. Empty: the server that is remembered as the one that sends.",
							   &pcapi_senders, "", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_list, NULL, NULL);
	DefineCustomBoolVariable("pinterest_capi.log_suppressed",
							 "Keeps a row for each event that a gate stopped.",
							 NULL,
							 &pcapi_log_suppressed, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("pinterest_capi");
}
