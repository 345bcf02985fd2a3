/*
 * report.sql
 *	  report_html(): the page, a function per section.
 *
 * Whatever comes from a table goes through _html; numbers, times and class
 * names are made here.  There is no script, and nothing is fetched.
 */

CREATE FUNCTION pinterest_capi._report_table(label text, head text, body text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN format('<div class="scroll" role="region" tabindex="0" aria-label="%s"><table><caption>%1$s</caption><thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>',
	label, head, body);
COMMENT ON FUNCTION pinterest_capi._report_table(text, text, text) IS
	'internal: a table that scrolls by itself where it is too wide';

------------------------------------------------------------------------------
-- Does it work?
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._report_verdict(destination text) RETURNS text
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT format('<div class="verdict %s"><strong>%s</strong>%s</div>', v.worst,
		CASE v.worst WHEN 'ok' THEN '&#x2713; Everything works'
			WHEN 'warning' THEN '! It works, but something needs a look'
			ELSE '&#x2715; Something needs to be done' END,
		'<ul>' || v.items || '</ul>')
	FROM (SELECT CASE WHEN bool_or(d.status = 'error') THEN 'error' WHEN bool_or(d.status = 'warning') THEN 'warning' ELSE 'ok' END AS worst,
			string_agg(format('<li><span class="pill %s">%1$s</span> <b>%s</b>: <bdi>%s</bdi></li>', d.status,
					pinterest_capi._html(d."check"), pinterest_capi._html(pinterest_capi._report_words(d.advice))), '' ORDER BY d.status)
				FILTER (WHERE d.status <> 'ok') AS items
		FROM pinterest_capi._doctor(_report_verdict.destination) AS d) AS v;
END;
COMMENT ON FUNCTION pinterest_capi._report_verdict(text) IS 'internal: what doctor() finds, at the head of the page';

CREATE FUNCTION pinterest_capi._report_tiles(rows pinterest_capi._report_row[], destination text) RETURNS text
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT format('<dl class="tiles"><div><dt>Events tracked</dt><dd class="big">%s</dd></div>'
			'<div><dt>Sent</dt><dd class="big">%s</dd><dd class="small soft">%s</dd></div>'
			'<div><dt>Failed</dt><dd class="big">%s</dd><dd class="small soft">%s</dd></div>'
			'<div><dt>Stopped before sending</dt><dd class="big">%s</dd><dd class="small soft">%s</dd></div>'
			'<div><dt>Waiting now</dt><dd class="big">%s</dd><dd class="small soft">%s</dd></div></dl>',
		pinterest_capi._report_n(t.events),
		pinterest_capi._report_n(t.sent), pinterest_capi._report_share(t.sent, t.events)
			|| CASE WHEN t.tested > 0 THEN format('; and %s more in test mode, which Pinterest discards', pinterest_capi._report_n(t.tested)) ELSE '' END,
		pinterest_capi._report_n(t.failed), pinterest_capi._report_share(t.failed, t.events),
		pinterest_capi._report_n(t.stopped), pinterest_capi._report_share(t.stopped, t.events),
		pinterest_capi._report_n(w.waiting), coalesce('oldest: ' || pinterest_capi._report_age(w.oldest), 'nothing'))
	FROM (SELECT coalesce(sum(r.events), 0) AS events,
			coalesce(sum(r.events) FILTER (WHERE r.status = 'sent'), 0) AS sent,
			coalesce(sum(r.events) FILTER (WHERE r.status = 'tested'), 0) AS tested,
			coalesce(sum(r.events) FILTER (WHERE r.status = 'failed'), 0) AS failed,
			coalesce(sum(r.events) FILTER (WHERE r.status IN ('suppressed', 'rejected', 'expired', 'cancelled')), 0) AS stopped
			FROM unnest(rows) AS r WHERE r.part > 0) AS t
		CROSS JOIN (SELECT coalesce(sum(s.queued + s.retrying), 0) AS waiting, min(s.oldest_queued_at) AS oldest
			FROM pinterest_capi.destination_status AS s
			WHERE _report_tiles.destination IS NULL OR s.destination = _report_tiles.destination) AS w;
END;
COMMENT ON FUNCTION pinterest_capi._report_tiles(pinterest_capi._report_row[], text) IS 'internal: the totals';

CREATE FUNCTION pinterest_capi._report_health(destination text) RETURNS text
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT '<section aria-labelledby="health"><h2 id="health">Destinations and worker</h2>'
		|| coalesce((SELECT format('<p class="soft">%s (last look %s ago, requests out: %s).</p>',
				CASE w.state WHEN 'dispatch off' THEN 'The worker runs, but dispatch is off on this server'
					WHEN 'read-only' THEN 'The worker runs, but this server is read-only'
					WHEN 'held' THEN 'The worker runs, but holds what waits: this server may be a copy'
					WHEN 'starting' THEN 'The worker is starting'
					WHEN 'sending' THEN 'The worker is sending'
					ELSE 'The worker is running' END,
				pinterest_capi._report_age(w.last_cycle_at), w.in_flight_requests) FROM pinterest_capi.worker_status AS w),
			'<p class="soft">No worker is running.</p>')
		|| coalesce((SELECT pinterest_capi._report_table('Destinations',
				'<th scope="col">Destination</th><th scope="col">Status</th><th scope="col">What it says</th><th scope="col" class="n">Waiting</th>'
				'<th scope="col" class="n">Oldest</th><th scope="col" class="n">Last sent</th><th scope="col" class="n">Sent, last hour</th><th scope="col" class="n">Failed, last hour</th>',
				string_agg(format('<tr><th scope="row"><bdi>%s</bdi></th><td><span class="pill %s">%s</span></td><td class="long"><bdi>%s</bdi></td>'
					'<td class="n">%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>',
					pinterest_capi._html(s.destination),
					CASE s.status WHEN 'ready' THEN 'ok' WHEN 'disabled' THEN 'warning' ELSE 'error' END, pinterest_capi._html(s.status),
					pinterest_capi._html(pinterest_capi._report_words(s.message)), pinterest_capi._report_n(s.queued + s.retrying),
					coalesce(pinterest_capi._report_age(s.oldest_queued_at), '<span class="nil">&#x2013;</span>'),
					pinterest_capi._report_time(s.last_sent_at), pinterest_capi._report_n(s.sent_last_hour),
					pinterest_capi._report_n(s.failed_last_hour)), '' ORDER BY s.destination))
				FROM pinterest_capi.destination_status AS s
				WHERE _report_health.destination IS NULL OR s.destination = _report_health.destination
				HAVING count(*) > 0),
			'<p class="empty">No destination is configured.</p>')
		|| '</section>';
END;
COMMENT ON FUNCTION pinterest_capi._report_health(text) IS 'internal: destination_status and worker_status';

------------------------------------------------------------------------------
-- Over time
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._report_timeline(rows pinterest_capi._report_row[], slots timestamptz[], step text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH counted AS MATERIALIZED (
		SELECT s.n, s.slot, t.place, t.status, coalesce(c.events, 0) AS events,
			sum(coalesce(c.events, 0)) OVER (PARTITION BY s.n ORDER BY t.place) AS upto,
			sum(coalesce(c.events, 0)) OVER (PARTITION BY s.n) AS of_slot,
			sum(coalesce(c.events, 0)) OVER (PARTITION BY t.status) AS of_status
		FROM unnest(slots) WITH ORDINALITY AS s (slot, n)
			CROSS JOIN pinterest_capi._report_statuses() AS t
			LEFT JOIN (SELECT r.slot, r.status, sum(r.events) AS events FROM unnest(rows) AS r WHERE r.part > 0 GROUP BY 1, 2) AS c
				ON c.slot = s.slot AND c.status = t.status
	), frame AS (
		-- the axis ends at a number whose half is a round number too
		SELECT m.most, (SELECT min(f * m.power) FROM unnest(ARRAY[1, 2, 4, 6, 8, 10]) AS f WHERE f * m.power >= greatest(m.most, 2)) AS top,
			cardinality(slots) AS n, ceil(cardinality(slots) / 6.0) AS every
		FROM (SELECT max(c.of_slot) AS most, 10 ^ floor(log(greatest(max(c.of_slot), 1))) AS power FROM counted AS c) AS m
	), words AS (
		SELECT string_agg(pinterest_capi._report_n(c.events) || ' ' || c.status, ', ' ORDER BY c.place) AS totals
		FROM (SELECT c.status, c.place, sum(c.events) AS events FROM counted AS c GROUP BY 1, 2 HAVING sum(c.events) > 0) AS c
	)
	SELECT '<section aria-labelledby="timeline"><h2 id="timeline">Events over time</h2>'
		|| format('<p class="soft">Per %s, by the time at which they were tracked, and what became of them.%s</p>', step,
			CASE WHEN EXISTS (SELECT FROM counted AS c WHERE c.status = 'tested' AND c.of_status > 0) THEN ' Tested: sent in test mode, so Pinterest has discarded them.' END)
		|| CASE WHEN f.most = 0 THEN '<p class="empty">No events in this time.</p>' ELSE
			format('<div class="chart"><div class="axis" aria-hidden="true"><span>%s</span><span>%s</span><span>0</span></div>'
				'<svg class="stack" height="212" role="img" aria-labelledby="timeline-title timeline-desc">'
				'<title id="timeline-title">Events per %s, by status</title><desc id="timeline-desc">From %s to %s: %s. The most in one %3$s are %7$s. The table below has all numbers.</desc>',
				pinterest_capi._report_n(f.top), pinterest_capi._report_n(f.top / 2), step,
				pinterest_capi._report_slot(slots[1], step, false), pinterest_capi._report_slot(slots[f.n], step, false),
				w.totals, pinterest_capi._report_n(f.most))
			|| '<line x1="0" x2="100%" y1="8" y2="8"/><line x1="0" x2="100%" y1="98" y2="98"/>'
			|| (SELECT string_agg(format('<rect class="%s" x="%s%%" width="%s%%" y="%s" height="%s"><title>%s: %s %1$s</title></rect>',
					c.status, round((c.n - 0.86) * 100 / f.n, 3), round(72.0 / f.n, 3),
					round((188 - 180 * c.upto / f.top)::numeric, 3), round((180 * c.events / f.top)::numeric, 3),
					pinterest_capi._report_slot(c.slot, step, false), pinterest_capi._report_n(c.events)), '' ORDER BY c.n, c.place)
				FROM counted AS c WHERE c.events > 0)
			|| '<line class="base" x1="0" x2="100%" y1="188" y2="188"/>'
			|| (SELECT string_agg(format('<text x="%s%%" y="206" text-anchor="middle">%s</text>',
					round((s.n - 0.5) * 100 / f.n, 3), pinterest_capi._report_slot(s.slot, step, true)), '' ORDER BY s.n)
				FROM unnest(slots) WITH ORDINALITY AS s (slot, n) WHERE (f.n - s.n) % f.every = 0)
			|| '</svg></div><ul class="legend">'
			|| (SELECT string_agg(format('<li><i class="%s"></i>%1$s <b>%s</b></li>', c.status, pinterest_capi._report_n(c.of_status)), '' ORDER BY c.place)
				FROM counted AS c WHERE c.n = 1 AND c.of_status > 0)
			|| '</ul><details><summary>Numbers</summary>'
			|| pinterest_capi._report_table(format('Events per %s and status', step),
				format('<th scope="col">%s (UTC)</th>', initcap(step))
				|| (SELECT string_agg(format('<th scope="col" class="n">%s</th>', c.status), '' ORDER BY c.place)
					FROM counted AS c WHERE c.n = 1 AND c.of_status > 0) || '<th scope="col" class="n">all</th>',
				(SELECT string_agg(l.line, '' ORDER BY l.n) FROM (
					SELECT c.n, format('<tr><th scope="row">%s</th>%s<td class="n">%s</td></tr>', pinterest_capi._report_slot(c.slot, step, false),
						string_agg(format('<td class="n">%s</td>', pinterest_capi._report_n(c.events)), '' ORDER BY c.place),
						pinterest_capi._report_n(c.of_slot)) AS line
					FROM counted AS c WHERE c.of_status > 0 GROUP BY c.n, c.slot, c.of_slot) AS l))
			|| '</details>' END
		|| '</section>'
	FROM frame AS f CROSS JOIN words AS w;
END;
COMMENT ON FUNCTION pinterest_capi._report_timeline(pinterest_capi._report_row[], timestamptz[], text) IS
	'internal: events per slot and status, as stacked bars and as a table';

CREATE FUNCTION pinterest_capi._report_compared(rows pinterest_capi._report_row[], slots timestamptz[], step text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH counted AS MATERIALIZED (
		SELECT r.* FROM unnest(rows) AS r WHERE r.part < 2
	), kinds (place, label, statuses) AS (
		VALUES (1, 'Events tracked', NULL::text[]), (2, 'Sent', '{sent}'), (3, 'Failed', '{failed}'),
			(4, 'Stopped before sending', '{suppressed,rejected,expired,cancelled}')
	), totals AS (
		SELECT k.place, k.label, coalesce(sum(c.events) FILTER (WHERE c.part = 1), 0) AS this, coalesce(sum(c.events) FILTER (WHERE c.part = 0), 0) AS before
		FROM kinds AS k LEFT JOIN counted AS c ON k.statuses IS NULL OR c.status = ANY (k.statuses)
		GROUP BY 1, 2
	), money AS (
		SELECT c.currency, coalesce(sum(c.value - coalesce(c.stand_in_value, 0)) FILTER (WHERE c.part = 1), 0) AS this,
			coalesce(sum(c.value - coalesce(c.stand_in_value, 0)) FILTER (WHERE c.part = 0), 0) AS before
		FROM counted AS c WHERE c.status = 'sent' AND c.currency IS NOT NULL
		GROUP BY 1
	), quality AS (
		SELECT sum(c.matchable) FILTER (WHERE c.part = 1) AS this, sum(c.asked) FILTER (WHERE c.part = 1) AS this_of,
			sum(c.matchable) FILTER (WHERE c.part = 0) AS before, sum(c.asked) FILTER (WHERE c.part = 0) AS before_of
		FROM counted AS c
	), named AS (
		SELECT c.event_name, c.destination, coalesce(sum(c.events) FILTER (WHERE c.part = 1), 0) AS this,
			coalesce(sum(c.events) FILTER (WHERE c.part = 0), 0) AS before
		FROM counted AS c GROUP BY 1, 2
	), times AS (
		SELECT pinterest_capi._report_before(slots, step) AS before, pinterest_capi._report_begun(step) AS begun,
			(SELECT f.hour FROM pinterest_capi._counted_from AS f) AS first
	)
	SELECT '<section aria-labelledby="compared"><h2 id="compared">Compared with the time before</h2>'
		|| CASE WHEN t.begun <= slots[1] THEN format('<p class="empty">No whole %s has passed.</p>', CASE step WHEN 'hour' THEN 'hour' ELSE 'day' END)
			WHEN NOT EXISTS (SELECT FROM counted AS c WHERE c.part = 0) THEN format('<p class="empty">Nothing was tracked from %s to %s.</p>',
				pinterest_capi._report_time(t.before), pinterest_capi._report_time(slots[1]))
			ELSE
			format('<p class="soft">Whole %ss alone: from %s to %s, and before that from %s to %s.%s</p>', CASE step WHEN 'hour' THEN 'hour' ELSE 'day' END,
				pinterest_capi._report_time(slots[1]), pinterest_capi._report_time(t.begun), pinterest_capi._report_time(t.before), pinterest_capi._report_time(slots[1]),
				CASE WHEN t.first > t.before THEN format(' The first event was counted at %s, so the time before is not whole.', pinterest_capi._report_time(t.first)) END)
			|| pinterest_capi._report_table('This time and the time before',
				'<th scope="col">What</th><th scope="col" class="n">This time</th><th scope="col" class="n">Before</th><th scope="col" class="n">Change</th>',
				(SELECT string_agg(format('<tr><th scope="row">%s</th><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>', o.label,
						pinterest_capi._report_n(o.this), pinterest_capi._report_n(o.before), pinterest_capi._report_change(o.this, o.before)), '' ORDER BY o.place)
					FROM totals AS o)
				|| (SELECT format('<tr><th scope="row">What Pinterest asks for</th><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>',
						pinterest_capi._report_share(q.this, q.this_of), pinterest_capi._report_share(q.before, q.before_of),
						coalesce(to_char(100 * (q.this / nullif(q.this_of, 0) - q.before / nullif(q.before_of, 0)), 'FMSG990.0') || ' points', '<span class="nil">&#x2013;</span>'))
					FROM quality AS q)
				|| coalesce((SELECT string_agg(format('<tr><th scope="row">Value sent</th><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>',
						pinterest_capi._report_money(m.this, m.currency), pinterest_capi._report_money(m.before, m.currency),
						pinterest_capi._report_change(m.this, m.before)), '' ORDER BY m.this DESC, m.currency)
					FROM money AS m), ''))
			|| pinterest_capi._report_table('Events tracked, this time and the time before',
				'<th scope="col">Event</th><th scope="col">Destination</th><th scope="col" class="n">This time</th><th scope="col" class="n">Before</th><th scope="col" class="n">Change</th>',
				(SELECT string_agg(format('<tr><th scope="row" class="long">%s</th><td>%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>',
						coalesce('<bdi>' || pinterest_capi._html(n.event_name) || '</bdi>', 'other names'),
						coalesce('<bdi>' || pinterest_capi._html(n.destination) || '</bdi>', '<span class="nil">none</span>'),
						pinterest_capi._report_n(n.this), pinterest_capi._report_n(n.before), pinterest_capi._report_change(n.this, n.before)), ''
						ORDER BY n.event_name IS NULL, n.this DESC, n.event_name, n.destination)
					FROM named AS n)) END
		|| '</section>'
	FROM times AS t;
END;
COMMENT ON FUNCTION pinterest_capi._report_compared(pinterest_capi._report_row[], timestamptz[], text) IS
	'internal: this time beside the time before, which is as long';

CREATE FUNCTION pinterest_capi._report_names(rows pinterest_capi._report_row[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH named AS (
		SELECT r.event_name, r.sent_as, r.destination, sum(r.events) AS events,
			coalesce(sum(r.events) FILTER (WHERE r.status = 'sent'), 0) AS sent,
			coalesce(sum(r.events) FILTER (WHERE r.status = 'tested'), 0) AS tested,
			coalesce(sum(r.events) FILTER (WHERE r.status IN ('queued', 'retrying')), 0) AS waiting,
			coalesce(sum(r.events) FILTER (WHERE r.status = 'failed'), 0) AS failed,
			coalesce(sum(r.events) FILTER (WHERE r.status IN ('suppressed', 'rejected', 'expired', 'cancelled')), 0) AS stopped
		FROM unnest(rows) AS r WHERE r.part > 0 GROUP BY 1, 2, 3
	), worth AS (
		SELECT v.event_name, v.sent_as, v.destination,
			string_agg(pinterest_capi._report_money(v.value, v.currency), '<br>' ORDER BY v.value DESC) FILTER (WHERE v.events > v.stand_in) AS value,
			string_agg(format('%s in %s', pinterest_capi._report_money(v.stand_in_value, v.currency), pinterest_capi._report_n(v.stand_in)), '<br>'
				ORDER BY v.stand_in_value DESC) FILTER (WHERE v.stand_in > 0) AS stand_in
		FROM (SELECT r.event_name, r.sent_as, r.destination, r.currency, sum(r.events) AS events,
				sum(r.value) - coalesce(sum(r.stand_in_value), 0) AS value,
				sum(r.stand_in) AS stand_in, sum(r.stand_in_value) AS stand_in_value
			FROM unnest(rows) AS r
			WHERE r.part > 0 AND r.status = 'sent' AND r.currency IS NOT NULL GROUP BY 1, 2, 3, 4) AS v
		GROUP BY 1, 2, 3
	)
	SELECT '<section aria-labelledby="names"><h2 id="names">Events by name</h2>'
		'<p class="soft">Value is what was sent, without tests. A stand-in is the destination''s default, sent for a Checkout without a value: how much, in how many events.</p>'
		|| coalesce(pinterest_capi._report_table('Events by name',
			'<th scope="col">Event</th><th scope="col">Sent as</th><th scope="col">Destination</th><th scope="col" class="n">Events</th><th scope="col" class="n">Sent</th>'
			'<th scope="col" class="n">Tested</th><th scope="col" class="n">Waiting</th><th scope="col" class="n">Failed</th><th scope="col" class="n">Stopped</th>'
			'<th scope="col" class="n">Value sent</th><th scope="col" class="n">Stand-ins sent</th>',
			string_agg(format('<tr><th scope="row" class="long">%s</th><td>%s</td><td>%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td>'
					'<td class="n">%s</td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td></tr>',
				coalesce('<bdi>' || pinterest_capi._html(n.event_name) || '</bdi>', 'other names'),
				coalesce(pinterest_capi._html(n.sent_as), '<span class="nil">&#x2013;</span>'),
				coalesce('<bdi>' || pinterest_capi._html(n.destination) || '</bdi>', '<span class="nil">none</span>'),
				pinterest_capi._report_n(n.events), pinterest_capi._report_n(n.sent), pinterest_capi._report_n(n.tested),
				pinterest_capi._report_n(n.waiting), pinterest_capi._report_n(n.failed), pinterest_capi._report_n(n.stopped),
				coalesce(w.value, '<span class="nil">&#x2013;</span>'), coalesce(w.stand_in, '<span class="nil">&#x2013;</span>')), ''
				ORDER BY n.event_name IS NULL, n.events DESC, n.event_name, n.destination)),
			'<p class="empty">No events in this time.</p>')
		|| '</section>'
	FROM named AS n
		LEFT JOIN worth AS w ON w.event_name IS NOT DISTINCT FROM n.event_name
			AND w.sent_as IS NOT DISTINCT FROM n.sent_as AND w.destination IS NOT DISTINCT FROM n.destination;
END;
COMMENT ON FUNCTION pinterest_capi._report_names(pinterest_capi._report_row[]) IS 'internal: events and value per name';

CREATE FUNCTION pinterest_capi._report_match(rows pinterest_capi._report_row[], slots timestamptz[], step text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH counted AS MATERIALIZED (
		SELECT k.place, k.label, s.n, s.slot, sum(CASE k.place WHEN 1 THEN r.matchable WHEN 2 THEN r.em WHEN 3 THEN r.ph WHEN 4 THEN r.click_id
				WHEN 5 THEN r.external_id WHEN 6 THEN r.hashed_maids WHEN 7 THEN r.ip ELSE r.user_agent END) AS part,
			sum(r.asked) AS asked
		FROM unnest(slots) WITH ORDINALITY AS s (slot, n)
			CROSS JOIN unnest(ARRAY['What Pinterest asks for', 'E-mail', 'Phone', 'Click id', 'External id', 'Mobile ad id', 'IP address', 'User agent'])
				WITH ORDINALITY AS k (label, place)
			LEFT JOIN unnest(rows) AS r ON r.slot = s.slot AND r.asked > 0
		GROUP BY 1, 2, 3, 4
	), totals AS MATERIALIZED (
		SELECT c.place, c.label, sum(c.part) AS part, sum(c.asked) AS asked FROM counted AS c GROUP BY 1, 2
	)
	SELECT '<section aria-labelledby="match"><h2 id="match">Match quality</h2>'
		|| format('<p class="soft">The share of events that carries each identifier, per %s: of those that came as far as their identifiers, with those that were stopped since they had none. Pinterest asks for an e-mail, a mobile ad id, or IP and user agent: the more, the better it matches.</p>', step)
		|| CASE WHEN (SELECT coalesce(max(t.asked), 0) FROM totals AS t) = 0 THEN '<p class="empty">No events in this time came as far as their identifiers.</p>' ELSE
			'<div class="cards">'
			|| (SELECT string_agg(format('<div><h3 id="match-%s">%s</h3><p class="big">%s</p>'
					'<svg height="56" role="img" aria-labelledby="match-%1$s match-desc-%1$s"><desc id="match-desc-%1$s">%4$s of %5$s events; the table below has the share of each %6$s.</desc>%7$s<line class="base" x1="0" x2="100%%" y1="48" y2="48"/></svg></div>',
					t.place, t.label, pinterest_capi._report_share(t.part, t.asked), pinterest_capi._report_n(t.part), pinterest_capi._report_n(t.asked), step,
					(SELECT string_agg(format('<rect class="ground" x="%s%%" width="%s%%" y="0" height="48"/><rect x="%1$s%%" width="%2$s%%" y="%s" height="%s"><title>%s: %s</title></rect>',
							round((c.n - 0.86) * 100 / cardinality(slots), 3), round(72.0 / cardinality(slots), 3),
							round(48 - 48 * c.part / c.asked, 3), round(48 * c.part / c.asked, 3),
							pinterest_capi._report_slot(c.slot, step, false), pinterest_capi._report_share(c.part, c.asked)), '' ORDER BY c.n)
						FROM counted AS c WHERE c.place = t.place AND c.asked > 0)), '' ORDER BY t.place)
				FROM totals AS t)
			|| '</div><details><summary>Numbers</summary>'
			|| pinterest_capi._report_table(format('Share of events with each identifier, per %s', step),
				format('<th scope="col">%s (UTC)</th><th scope="col" class="n">Events</th>', initcap(step))
				|| (SELECT string_agg(format('<th scope="col" class="n">%s</th>', t.label), '' ORDER BY t.place) FROM totals AS t),
				(SELECT string_agg(l.line, '' ORDER BY l.n) FROM (
					SELECT c.n, format('<tr><th scope="row">%s</th><td class="n">%s</td>%s</tr>', pinterest_capi._report_slot(c.slot, step, false),
						pinterest_capi._report_n(coalesce(max(c.asked), 0)),
						string_agg(format('<td class="n">%s</td>', pinterest_capi._report_share(c.part, c.asked)), '' ORDER BY c.place)) AS line
					FROM counted AS c GROUP BY c.n, c.slot) AS l))
			|| '</details>' END
		|| '</section>';
END;
COMMENT ON FUNCTION pinterest_capi._report_match(pinterest_capi._report_row[], timestamptz[], text) IS
	'internal: the share of events with each identifier per slot, as bars and as a table';

CREATE FUNCTION pinterest_capi._report_missing(rows pinterest_capi._report_row[]) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH counted AS (
		SELECT r.event_name, r.destination, sum(r.asked)::numeric AS events, sum(r.events) FILTER (WHERE r.status = 'suppressed') AS stopped,
			sum(r.matchable) AS matchable, sum(r.em) AS em, sum(r.ph) AS ph, sum(r.click_id) AS click_id,
			sum(r.external_id) AS external_id, sum(r.hashed_maids) AS hashed_maids
		FROM unnest(rows) AS r
		WHERE r.part > 0 AND r.destination IS NOT NULL AND r.event_name IS NOT NULL AND r.asked > 0
		GROUP BY 1, 2
	), judged AS (
		SELECT c.*, pinterest_capi._missing_identifier(c.em / c.events, c.ph / c.events, c.click_id / c.events,
			c.external_id / c.events, c.hashed_maids / c.events) AS missing
		FROM counted AS c
	)
	SELECT '<section aria-labelledby="missing"><h2 id="missing">What would match more</h2>'
		'<p class="soft">By event: of those that came as far as their identifiers, with those that were stopped since they had none.</p>'
		|| coalesce(pinterest_capi._report_table('Match quality by event',
			'<th scope="col">Event</th><th scope="col">Destination</th><th scope="col" class="n">Events</th><th scope="col" class="n">Stopped: no identifier</th>'
			'<th scope="col" class="n">What Pinterest asks for</th><th scope="col">Missing most</th><th scope="col">What to do</th>',
			string_agg(format('<tr><th scope="row" class="long"><bdi>%s</bdi></th><td><bdi>%s</bdi></td><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td><td>%s</td><td class="long">%s</td></tr>',
				pinterest_capi._html(j.event_name), pinterest_capi._html(j.destination), pinterest_capi._report_n(j.events),
				pinterest_capi._report_n(coalesce(j.stopped, 0)), pinterest_capi._report_share(j.matchable, j.events),
				coalesce(pinterest_capi._html(j.missing), '<span class="nil">&#x2013;</span>'),
				coalesce(pinterest_capi._html(pinterest_capi._identifier_advice(j.missing)), '<span class="nil">&#x2013;</span>')), ''
				ORDER BY j.matchable / j.events, j.events DESC, j.event_name, j.destination)),
			'<p class="empty">No events in this time came as far as their identifiers.</p>')
		|| '</section>'
	FROM judged AS j;
END;
COMMENT ON FUNCTION pinterest_capi._report_missing(pinterest_capi._report_row[]) IS
	'internal: per event, the identifier that is missing most and how it is added';

------------------------------------------------------------------------------
-- What was not sent
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._report_warnings(destination text, since timestamptz) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH given AS MATERIALIZED (
		SELECT w.warning, w.event_name, count(*) AS events
		FROM pinterest_capi._newest_warned AS w
		WHERE w.created_at >= since AND (_report_warnings.destination IS NULL OR w.destination = _report_warnings.destination)
		GROUP BY 1, 2
	), worded AS (
		SELECT pinterest_capi._report_words(g.warning) AS warning, min(g.warning) AS original, sum(g.events) AS events,
			(array_agg(g.event_name ORDER BY g.events DESC, g.event_name))[1:5] AS names, count(DISTINCT g.event_name) AS n
		FROM given AS g GROUP BY 1
	)
	SELECT '<section aria-labelledby="warnings"><h2 id="warnings">Warnings, and what to do</h2>'
		'<p class="soft">What was left out of events or replaced, and what Pinterest warned of: in the newest 10,000 events, as far as they are of this time.</p>'
		|| coalesce(pinterest_capi._report_table('Warnings',
			'<th scope="col">Warning</th><th scope="col" class="n">Events</th><th scope="col">Most of them</th><th scope="col">What to do</th>',
			string_agg(format('<tr><th scope="row" class="long"><bdi>%s</bdi></th><td class="n">%s</td><td class="long"><bdi>%s</bdi></td><td class="long">%s</td></tr>',
				pinterest_capi._html(w.warning), pinterest_capi._report_n(w.events),
				pinterest_capi._html(array_to_string(w.names, ', ') || CASE WHEN w.n > 5 THEN ', ...' ELSE '' END),
				coalesce(pinterest_capi._html(pinterest_capi._warning_advice(w.original)), 'These are Pinterest''s words: see its documentation of conversions.')), ''
				ORDER BY w.events DESC, w.warning)),
			'<p class="empty">No warnings in this time.</p>')
		|| '</section>'
	FROM (SELECT d.* FROM worded AS d ORDER BY d.events DESC, d.warning LIMIT 50) AS w;
END;
COMMENT ON FUNCTION pinterest_capi._report_warnings(text, timestamptz) IS
	'internal: warnings of the newest events, the most frequent first, and what to do about each';

CREATE FUNCTION pinterest_capi._report_failures(destination text, since timestamptz) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH given AS MATERIALIZED (
		SELECT f.status, f.test_mode, f.reason, f.error, f.http_status, f.event_name, count(*) AS events, max(f.at) AS last_at
		FROM pinterest_capi._newest_failed AS f
		WHERE f.created_at >= since AND (_report_failures.destination IS NULL OR f.destination = _report_failures.destination)
		GROUP BY 1, 2, 3, 4, 5, 6
	), worded AS MATERIALIZED (
		SELECT g.*, pinterest_capi._report_words(g.error) AS words FROM given AS g
	), messages AS (
		SELECT w.words FROM worded AS w WHERE w.words IS NOT NULL GROUP BY 1 ORDER BY sum(w.events) DESC, 1 LIMIT 50
	), summed AS (
		SELECT w.status, w.test_mode, w.reason, CASE WHEN w.words IS NOT NULL THEN coalesce(m.words, 'other messages') END AS error, w.http_status,
			sum(w.events) AS events, max(w.last_at) AS last_at, array_agg(DISTINCT w.event_name ORDER BY w.event_name) AS names
		FROM worded AS w LEFT JOIN messages AS m ON m.words = w.words
		GROUP BY 1, 2, 3, 4, 5
	)
	SELECT '<section aria-labelledby="failures"><h2 id="failures">What failed, and why</h2>'
		'<p class="soft">In Pinterest''s words; what might identify somebody is left out of them as [...]. Of the newest 5,000 failures, and of each destination''s retries the 500 that are due last, as far as they are of this time.</p>'
		|| coalesce(pinterest_capi._report_table('Failures and retries',
			'<th scope="col">Message</th><th scope="col">Status</th><th scope="col">HTTP</th><th scope="col">Events</th><th scope="col" class="n">Count</th><th scope="col" class="n">Last (UTC)</th>',
			string_agg(format('<tr><th scope="row" class="long"><bdi>%s</bdi></th><td>%s</td><td>%s</td><td class="long"><bdi>%s</bdi></td><td class="n">%s</td><td class="n">%s</td></tr>',
				coalesce(pinterest_capi._html(concat_ws(': ', f.reason, f.error)), 'no message'), f.status || CASE WHEN f.test_mode THEN ', in test mode' ELSE '' END,
				coalesce(f.http_status::text, '<span class="nil">&#x2013;</span>'),
				pinterest_capi._html(array_to_string(f.names[1:20], ', ') || CASE WHEN cardinality(f.names) > 20 THEN ', ...' ELSE '' END),
				pinterest_capi._report_n(f.events), pinterest_capi._report_time(f.last_at)), '' ORDER BY f.events DESC, f.error)),
			'<p class="empty">Nothing failed in this time.</p>')
		|| '</section>'
	FROM summed AS f;
END;
COMMENT ON FUNCTION pinterest_capi._report_failures(text, timestamptz) IS 'internal: the newest failures by message';

CREATE FUNCTION pinterest_capi._report_gates(rows pinterest_capi._report_row[], since timestamptz) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH newest AS MATERIALIZED (
		SELECT n.status, n.reason, n.event_name, count(*) AS events FROM pinterest_capi._newest_stopped AS n
		WHERE n.created_at >= since GROUP BY 1, 2, 3
	)
	SELECT '<section aria-labelledby="gates"><h2 id="gates">What was stopped, and by which gate</h2>'
		'<p class="soft">Events that were never given to Pinterest. Of those that no destination allows, the names are those of the newest.</p>'
		|| coalesce(pinterest_capi._report_table('Stopped events',
			'<th scope="col">Gate</th><th scope="col">Reason</th><th scope="col">Status</th><th scope="col">Events</th><th scope="col" class="n">Count</th>',
			string_agg(format('<tr><th scope="row">%s</th><td class="long"><bdi>%s</bdi></td><td>%s</td><td class="long">%s</td><td class="n">%s</td></tr>',
				g.gate[2], coalesce(pinterest_capi._html(g.reason), '<span class="nil">&#x2013;</span>'), g.status,
				coalesce(g.names, (SELECT string_agg('<bdi>' || pinterest_capi._html(m.event_name) || '</bdi>', ', ' ORDER BY m.events DESC, m.event_name)
						FROM (SELECT n.event_name, n.events FROM newest AS n WHERE n.status = g.status AND n.reason IS NOT DISTINCT FROM g.reason
							ORDER BY n.events DESC, n.event_name LIMIT 50) AS m), 'other names'),
				pinterest_capi._report_n(g.events)), ''
				ORDER BY g.gate[1], g.events DESC, g.reason)),
			'<p class="empty">Nothing was stopped in this time.</p>')
		|| '</section>'
	FROM (SELECT r.status, r.reason, sum(r.events) AS events,
			CASE WHEN r.reason IN ('not allowed', 'no destination') THEN ARRAY['1', 'Allowed events']
				WHEN r.reason LIKE 'consent rule %' THEN ARRAY['2', 'Consent']
				WHEN r.reason IN ('opted out', 'forgotten') THEN ARRAY['3', 'Opt-out and erasure']
				WHEN r.status = 'rejected' THEN ARRAY['4', 'Mapping']
				WHEN r.status = 'expired' THEN ARRAY['5', 'Age']
				WHEN r.status = 'suppressed' THEN ARRAY['6', 'Identifier']
				ELSE ARRAY['7', 'Cancelled'] END AS gate,
			string_agg(DISTINCT '<bdi>' || pinterest_capi._html(r.event_name) || '</bdi>', ', ') AS names
		FROM unnest(rows) AS r WHERE r.part > 0 AND r.status IN ('suppressed', 'rejected', 'expired', 'cancelled')
		GROUP BY 1, 2) AS g;
END;
COMMENT ON FUNCTION pinterest_capi._report_gates(pinterest_capi._report_row[], timestamptz) IS
	'internal: what was suppressed, rejected, expired or cancelled, by gate';

CREATE FUNCTION pinterest_capi._report_compliance(destination text) RETURNS text
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
	WITH allowed AS MATERIALIZED (
		SELECT c.* FROM pinterest_capi.compliance_report AS c
		WHERE _report_compliance.destination IS NULL OR c.destination = _report_compliance.destination
	), events AS (
		SELECT DISTINCT a.destination, a.event_name, a.sent_as, a.consent_rules FROM allowed AS a
	), fields AS (
		SELECT f.destination, f.transformation, f.rule, f.names, array_agg(f.field ORDER BY f.field) AS fields
		FROM (SELECT a.destination, a.field, a.transformation, a.rule,
				array_agg(a.event_name ORDER BY a.event_name) AS names FROM allowed AS a GROUP BY 1, 2, 3, 4) AS f
		GROUP BY 1, 2, 3, 4
	), listed AS (
		SELECT e.destination, count(*) AS n, pinterest_capi._report_table('Allowed events of ' || pinterest_capi._html(e.destination),
			'<th scope="col">Event</th><th scope="col">Sent as</th><th scope="col">Consent rules in force</th>',
			string_agg(format('<tr><th scope="row" class="long"><bdi>%s</bdi></th><td>%s</td><td class="long">%s</td></tr>', pinterest_capi._html(e.event_name),
				pinterest_capi._html(e.sent_as), coalesce('<bdi>' || pinterest_capi._html(array_to_string(e.consent_rules, ', ')) || '</bdi>', '<span class="nil">no rule</span>')), ''
				ORDER BY e.event_name)) AS html
		FROM events AS e GROUP BY 1
	)
	SELECT '<section aria-labelledby="compliance"><h2 id="compliance">What may leave, and under which rule</h2>'
		'<p class="soft">As configured now. Nothing else leaves; events that are not listed do not leave at all.</p>'
		|| coalesce(string_agg('<h3><bdi>' || pinterest_capi._html(l.destination) || '</bdi></h3>' || l.html
			|| (SELECT pinterest_capi._report_table('Fields that may leave for ' || pinterest_capi._html(l.destination),
					'<th scope="col">Fields</th><th scope="col">What is done to them</th><th scope="col">Rule</th><th scope="col">Of which events</th>',
					string_agg(format('<tr><th scope="row" class="long">%s</th><td class="long">%s</td><td>%s</td><td class="long">%s</td></tr>',
						pinterest_capi._html(array_to_string(f.fields, ', ')), pinterest_capi._html(f.transformation), pinterest_capi._html(f.rule),
						CASE WHEN cardinality(f.names) = l.n THEN 'all' ELSE '<bdi>' || pinterest_capi._html(array_to_string(f.names, ', ')) || '</bdi>' END), ''
						ORDER BY f.rule, f.transformation, f.fields))
				FROM fields AS f WHERE f.destination = l.destination), '' ORDER BY l.destination),
			'<p class="empty">No event is allowed, so nothing may leave.</p>')
		|| '</section>'
	FROM listed AS l;
END;
COMMENT ON FUNCTION pinterest_capi._report_compliance(text) IS 'internal: compliance_report, a line per field';

------------------------------------------------------------------------------
-- The page
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._report_page(destination text, step text, slots timestamptz[],
		rows pinterest_capi._report_row[]) RETURNS text
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
	'<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex"><title>Conversions to Pinterest</title><style>'
	|| pinterest_capi._report_style() || '</style></head><body><header><h1>Conversions to Pinterest</h1>'
	|| format('<p>%s in database <bdi>%s</bdi>, from %s to %s (UTC)</p>',
		coalesce('Destination <bdi>' || pinterest_capi._html(destination) || '</bdi>', 'All destinations'),
		pinterest_capi._html(current_database()), pinterest_capi._report_time(slots[1]), pinterest_capi._report_time(now()))
	|| pinterest_capi._report_verdict(destination)
	|| pinterest_capi._report_tiles(rows, destination)
	|| '</header><main>'
	|| pinterest_capi._report_timeline(rows, slots, step)
	|| pinterest_capi._report_compared(rows, slots, step)
	|| pinterest_capi._report_names(rows)
	|| pinterest_capi._report_match(rows, slots, step)
	|| pinterest_capi._report_missing(rows)
	|| pinterest_capi._report_warnings(destination, slots[1])
	|| pinterest_capi._report_failures(destination, slots[1])
	|| pinterest_capi._report_gates(rows, slots[1])
	|| pinterest_capi._report_health(destination)
	|| pinterest_capi._report_compliance(destination)
	|| '</main><footer><p>All times are UTC. The page holds counts and names only: no identifier, no hash, no event. Made by pinterest_capi '
	|| (SELECT s.version FROM pinterest_capi._server_state() AS s) || '.</p></footer></body></html>';
COMMENT ON FUNCTION pinterest_capi._report_page(text, text, timestamptz[], pinterest_capi._report_row[]) IS
	'internal: the page, of what was counted';

CREATE FUNCTION pinterest_capi.report_html(destination text DEFAULT NULL, since interval DEFAULT '7 days') RETURNS text
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT pinterest_capi._bad_call('since must be positive and at most 100 years', 'Give how far back the report goes, as in ''7 days''.')
		WHERE since IS NULL OR since <= interval '0' OR since > interval '100 years';
	SELECT pinterest_capi._bad_call('unknown destination', 'The view pinterest_capi.destination_status lists those that exist; NULL is all of them.')
		WHERE NOT EXISTS (SELECT FROM pinterest_capi.destination_status AS s WHERE s.destination = report_html.destination)
			AND NOT EXISTS (SELECT FROM pinterest_capi._known_destination AS s WHERE s.destination = report_html.destination)
			AND report_html.destination IS NOT NULL;
	SELECT pinterest_capi._report_page(report_html.destination, t.step, t.slots,
			pinterest_capi._report_rows(report_html.destination, t.slots, t.step))
		FROM (SELECT s.step, pinterest_capi._report_slots(since, s.step) AS slots
			FROM (SELECT pinterest_capi._report_step(since) AS step) AS s OFFSET 0) AS t;
END;
COMMENT ON FUNCTION pinterest_capi.report_html(text, interval) IS
	'a page on what was sent and what was not, one HTML file by itself. Errors: 22023';
