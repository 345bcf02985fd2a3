/*
 * stub.js
 *	  A stand-in for Pinterest's API that does as little as possible: it counts
 *	  and accepts events.  For measurements alone; test/stub is the strict one.
 *
 * node stub.js --cert FILE --key FILE
 *	  One line of JSON on standard output has the ports: HTTPS (HTTP/2 and 1.1),
 *	  plain HTTP/1.1, and control.  The stub ends when standard input does.
 *	  GET on the control port: the counts since the last reset (reset() below).
 *	  POST resets the counts; with ?mark=N the stub records when N events have
 *	  arrived, with ?probes=1 when each event arrives whose event_id begins with
 *	  "probe-".
 *
 * node stub.js --load SECONDS --target URL
 *	  Measure how many requests of 1000 events a second such a stub accepts from
 *	  a client in a process of its own, over one connection.
 *
 * A request counts as arrived when its last byte has arrived.  The answer has an
 * entry for each event, as the API's has, and is made once for each number.
 */
'use strict';

const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const { parseArgs } = require('util');

const { values: options } = parseArgs({
	options: {
		cert: { type: 'string' },
		key: { type: 'string' },
		load: { type: 'string' },
		target: { type: 'string' },
	},
});

const MARK = Buffer.from('"event_id":');
const PROBE = Buffer.from('"event_id":"probe-');
/*
 * node's nghttp2 takes a client that closes more than 1000 streams itself for an
 * attacker and breaks the connection; some versions of libcurl close each stream.
 * So the stub ends the connection in order before that, as other servers do too.
 */
const STREAMS_PER_CONNECTION = 900;
const answers = new Map();
let clock_offset;
let seen;

/* Wall-clock milliseconds, finer than Date's, synchronised at each reset. */
function set_clock()
{
	const before = Date.now();
	let now;

	do
		now = Date.now();
	while (now === before);
	clock_offset = now - performance.now();
}

function reset(query)
{
	set_clock();
	seen = {
		events: 0,
		requests: 0,
		bytes: 0,
		first_ms: null,
		last_ms: null,
		mark: Number(query.get('mark') ?? 0),
		mark_ms: null,
		probes: query.has('probes') ? {} : null,	/* event_id: [ms, ...] */
	};
}

function answer(n)
{
	if (!answers.has(n))
		answers.set(n, Buffer.from(JSON.stringify({
			num_events_received: n,
			num_events_processed: n,
			events: Array.from({ length: n }, () => ({ status: 'processed', error_message: '', warning_message: '' })),
		})));
	return answers.get(n);
}

function count(body)
{
	let n = 0;

	for (let at = body.indexOf(MARK); at >= 0; at = body.indexOf(MARK, at + MARK.length))
		n++;
	return n;
}

function note_probes(body, now)
{
	for (let at = body.indexOf(PROBE); at >= 0; at = body.indexOf(PROBE, at + PROBE.length))
	{
		const from = at + MARK.length + 1;
		const id = body.toString('latin1', from, body.indexOf('"', from));

		(seen.probes[id] ??= []).push(now);
	}
}

function take(request, response)
{
	const chunks = [];

	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () =>
	{
		const now = performance.now() + clock_offset;
		const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
		const n = count(body);

		response.writeHead(200, { 'content-type': 'application/json' });
		response.end(answer(n));

		seen.requests++;
		seen.bytes += body.length;
		seen.first_ms ??= now;
		seen.last_ms = now;
		seen.events += n;
		if (seen.mark_ms === null && seen.mark > 0 && seen.events >= seen.mark)
			seen.mark_ms = now;
		if (seen.probes)
			note_probes(body, now);
	});
}

function serve()
{
	const secure = http2.createSecureServer({
		allowHTTP1: true,
		cert: fs.readFileSync(options.cert),
		key: fs.readFileSync(options.key),
		settings: { initialWindowSize: 16 * 1024 * 1024 },
	}, take);
	const plain = http.createServer({ keepAliveTimeout: 60000 }, take);
	const control = http.createServer((request, response) =>
	{
		response.setHeader('content-type', 'application/json');
		response.end(JSON.stringify({ ...seen, cpu_us: process.cpuUsage() }));
		if (request.method === 'POST')
			reset(new URL(request.url, 'http://localhost').searchParams);
	});

	reset(new URLSearchParams());
	secure.on('session', (session) =>
	{
		let streams = 0;

		session.setLocalWindowSize(64 * 1024 * 1024);
		session.on('stream', (stream) =>
		{
			/*
			 * GOAWAY that names the last stream that is served: a request that
			 * crosses it is known to be refused, and the client repeats it on
			 * another connection.  Without the right number node drops such
			 * requests in silence.
			 */
			if (++streams === STREAMS_PER_CONNECTION)
				session.goaway(0, stream.id);
		});
	});
	secure.on('sessionError', () => { });
	const servers = [secure, plain, control];
	let waiting = servers.length;

	for (const server of servers)
		server.listen(0, '127.0.0.1', () =>
		{
			if (--waiting === 0)
			{
				const [port, plain_port, control_port] = servers.map((s) => s.address().port);

				console.log(JSON.stringify({ port, plain_port, control_port }));
			}
		});
	process.stdin.resume();
	process.stdin.on('end', () => process.exit(0));
}

/* Send requests of 1000 events as fast as they are answered, four at a time. */
function load()
{
	const one = '{"event_name":"checkout","action_source":"web","event_time":1795536608,"event_id":"order-1000000",'
		+ `"user_data":{"em":["${'0'.repeat(64)}"],"ph":["${'0'.repeat(64)}"],"external_id":["${'0'.repeat(64)}"]},`
		+ '"custom_data":{"currency":"EUR","value":"72.39","content_ids":["sku-17"],"contents":[{"id":"sku-17","quantity":2}],'
		+ '"num_items":2,"order_id":"1000000"}}';
	const body = Buffer.from(`{"data":[${Array(1000).fill(one).join(',')}]}`);
	let client = null;
	const started = performance.now();
	const until = started + 1000 * Number(options.load);
	let done = 0;
	let open = 0;

	/* the stub ends a connection after so many requests */
	function begin()
	{
		if (client && !client.closed && !client.destroyed)
			try
			{
				return client.request({ ':method': 'POST', ':path': '/v5/ad_accounts/1/events' });
			}
			catch (error)
			{
				if (error.code !== 'ERR_HTTP2_GOAWAY_SESSION')
					throw error;
			}
		client = http2.connect(options.target, { rejectUnauthorized: false });
		return client.request({ ':method': 'POST', ':path': '/v5/ad_accounts/1/events' });
	}

	function next()
	{
		const request = begin();

		open++;
		request.on('data', () => { });
		request.on('end', () =>
		{
			done++;
			open--;
			if (performance.now() < until)
				next();
			else if (open === 0)
			{
				console.log(JSON.stringify({
					requests_per_second: 1000 * done / (performance.now() - started),
					bytes_per_request: body.length,
				}));
				client.close();
			}
		});
		request.end(body);
	}
	for (let i = 0; i < 4; i++)
		next();
}

if (options.load)
	load();
else
	serve();
