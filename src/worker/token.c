/*
 * token.c
 *	  Read the access token of a request, from the destination or from a file.
 */
#include "pinterest_capi.h"

#include "queue/destination_config.h"
#include "worker/settings_file.h"
#include "worker/token.h"

#define MAX_TOKEN_FILE	8192	/* bytes; a token has some hundred */

/*
 * Return the token, or NULL and *problem.  A file is read for each request, so
 * that a new token takes effect when the file is written.  The owner of the
 * tables could store any path without configure_destination's check, so the
 * check is repeated here.
 */
char *
pcapi_read_token(const PcapiDestinationConfig *config, char **problem)
{
	const char *stored = config->token;
	const char *path = stored + strlen("file:");
	char	   *token;
	size_t		file_len;
	size_t		len;
	char	   *start;

	if (strncmp(stored, "file:", strlen("file:")) != 0)
		return pstrdup(stored);
	if (!config->may_read_files)
	{
		*problem = pstrdup("access token file cannot be read: the extension's owner is no member of pg_read_server_files");
		return NULL;
	}
	token = pcapi_read_file(path, MAX_TOKEN_FILE, &file_len, problem);
	if (token == NULL)
	{
		*problem = psprintf("access token file cannot be read: %s", *problem);
		return NULL;
	}
	start = token + strspn(token, " \t\r\n");
	len = strcspn(start, " \t\r\n");
	if (len == 0 || start + len + strspn(start + len, " \t\r\n") != token + file_len)
		*problem = pstrdup("access token file cannot be read: it must hold the token and nothing else");
	for (size_t i = 0; *problem == NULL && i < len; i++)
		if ((unsigned char) start[i] < ' ' || (unsigned char) start[i] > '~')
			*problem = pstrdup("access token file cannot be read: the token has characters that none can have");
	if (*problem != NULL)
	{
		explicit_bzero(token, file_len);
		return NULL;
	}
	memmove(token, start, len);
	explicit_bzero(token + len, file_len - len);
	return token;
}
