/*
 * stub.js
 *	  A stand-in for Pinterest's API that does as little as it can: counts events
 *	  and accepts them.  For measuring alone; test/stub is the strict one.
 *
 * node stub.js --cert FILE --key FILE [--delay MS] [--self-test SECONDS]
 *	  One line of JSON on stdout says the ports.  Ends when standard input does.
 *	  GET / on the control port: {"events", "requests", "bytes", "first_ms",
 *	  "last_ms", "arrivals": [[event_id, ms], ...] of requests with one event}.
 *	  POST / sets everything to zero.
 *
 * --self-test: how many requests of 1000 events a second it takes from a client
 * in a process of its own, over one connection.
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
		delay: { type: 'string', default: '0' },
		'self-test': { type: 'string' },
		target: { type: 'string' },
	},
});

const MARK = Buffer.from('"event_id":"');
const MAX_ARRIVALS = 100000;
const delay = Number(options.delay);
const answers = new Map();
let seen;

function reset()
{
	seen = { events: 0, requests: 0, bytes: 0, first_ms: null, last_ms: null, arrivals: [] };
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

function take(request, response)
{
	const chunks = [];
	const arrived = performance.timeOrigin + performance.now();

	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () =>
	{
		const body = Buffer.concat(chunks);
		const n = count(body);
		const reply = () =>
		{
			response.writeHead(200, { 'content-type': 'application/json' });
			response.end(answer(n));
		};

		seen.requests++;
		seen.events += n;
		seen.bytes += body.length;
		seen.first_ms ??= arrived;
		seen.last_ms = arrived;
		if (n === 1 && seen.arrivals.length < MAX_ARRIVALS)
		{
			const from = body.indexOf(MARK) + MARK.length;

			seen.arrivals.push([body.toString('utf8', from, body.indexOf('"', from)), arrived]);
		}
		if (delay > 0)
			setTimeout(reply, delay);
		else
			reply();
	});
}

function serve()
{
	const server = http2.createSecureServer({
		allowHTTP1: true,
		cert: fs.readFileSync(options.cert),
		key: fs.readFileSync(options.key),
		settings: { initialWindowSize: 16 * 1024 * 1024 },
	}, take);
	const control = http.createServer((request, response) =>
	{
		response.setHeader('content-type', 'application/json');
		response.end(JSON.stringify(seen));
		if (request.method === 'POST')
			reset();
	});

	reset();
	server.on('session', (session) => session.setLocalWindowSize(64 * 1024 * 1024));
	server.on('sessionError', () => { });
	server.listen(0, '127.0.0.1', () => control.listen(0, '127.0.0.1', () =>
		console.log(JSON.stringify({ port: server.address().port, control_port: control.address().port }))));
	process.stdin.resume();
	process.stdin.on('end', () => process.exit(0));
}

/* requests of 1000 events as fast as they are answered, four at a time */
function measure()
{
	const one = '{"event_name":"checkout","action_source":"web","event_time":1795536608,"event_id":"01a20e6e-b65b-7366-bc73-a3bb1249bd11",'
		+ `"user_data":{"em":["${'0'.repeat(64)}"],"ph":["${'0'.repeat(64)}"]},`
		+ '"custom_data":{"currency":"EUR","value":"72.39","order_id":"1001"}}';
	const body = Buffer.from(`{"data":[${Array(1000).fill(one).join(',')}]}`);
	const client = http2.connect(options.target, { ca: fs.readFileSync(options.cert), rejectUnauthorized: false });
	const until = performance.now() + 1000 * Number(options['self-test']);
	const started = performance.now();
	let done = 0;
	let open = 0;

	function next()
	{
		const request = client.request({ ':method': 'POST', ':path': '/v5/ad_accounts/1/events' });

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
				console.log(JSON.stringify({ requests_per_second: Math.round(1000 * done / (performance.now() - started)) }));
				client.close();
			}
		});
		request.end(body);
	}
	for (let i = 0; i < 4; i++)
		next();
}

if (options['self-test'])
	measure();
else
	serve();
