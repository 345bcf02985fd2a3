/*
 * stub.js
 *	  A stand-in for Pinterest's Conversions API: POST /v5/ad_accounts/{id}/events
 *	  over HTTPS (HTTP/2 and HTTP/1.1), as strict as the real one and scriptable.
 *
 * node stub.js [--cert FILE --key FILE] [--token TOKEN] [--account ID ...]
 *	  [--port N] [--control-port N] [--until-eof] [--http1] [--tls-max VERSION]
 *
 * Without a certificate it is plain HTTP/1.1, to try it by hand on one's own machine.
 * --token and --account: other tokens are answered 401, other accounts 403.  The
 * system chooses ports that aren't given; one line of JSON on stdout has them.
 * --until-eof: end when standard input does, and so with the parent.
 * --http1: HTTP/1.1 alone.  --tls-max: no newer version than this, as in TLSv1.1.
 *
 * schema.js has the schemas, control.js the control port and the scripts,
 * unkind.js the answers that break HTTP's rules.
 */
'use strict';

const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const https = require('https');
const { parseArgs } = require('util');
const { Control } = require('./control.js');
const { KINDS, UNPROCESSED } = require('./unkind.js');
const { violation, lapses, warnings } = require('./schema.js');

const MAX_BODY = 16 * 1024 * 1024;
const TEST_BATCH = 20;			/* events of a test request that are processed */
const PATH = /^\/v5\/ad_accounts\/([^/?]*)\/events(?:\?(.*))?$/;

const { values: options } = parseArgs({
	options: {
		cert: { type: 'string' },
		key: { type: 'string' },
		token: { type: 'string' },
		account: { type: 'string', multiple: true },
		port: { type: 'string', default: '0' },
		'control-port': { type: 'string', default: '0' },
		'until-eof': { type: 'boolean', default: false },
		http1: { type: 'boolean', default: false },
		'tls-max': { type: 'string' },
	},
});

const sockets = new Set();
const control = new Control({ down, up, open: () => sockets.size, token: options.token });

const tls = options.cert === undefined ? null
	: { cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key) };

/* OpenSSL's defaults refuse old versions: they need its lowest security level. */
if (options['tls-max'])
	Object.assign(tls, { minVersion: 'TLSv1', maxVersion: options['tls-max'], ciphers: 'DEFAULT@SECLEVEL=0' });

const server = tls === null ? http.createServer(handle)
	: options.http1 ? https.createServer(tls, handle)
	: http2.createSecureServer({ allowHTTP1: true, ...tls }, handle);

let port = Number(options.port);

server.on('connection', (socket) =>
{
	sockets.add(socket);
	socket.on('close', () => sockets.delete(socket));
});
server.on('secureConnection', (socket) =>
{
	control.counts.connections++;
	control.counts.resumed += socket.isSessionReused();
});
server.on('tlsClientError', () => control.counts.tls_errors++);
/* A client that closes its connection must not end the stub. */
server.on('sessionError', () => { });
server.on('clientError', (error, socket) => socket.destroy());

function up()
{
	return new Promise((resolve, reject) =>
	{
		server.once('error', reject);
		server.listen(port, '127.0.0.1', () =>
		{
			server.removeListener('error', reject);
			port = server.address().port;
			resolve();
		});
	});
}

/* Act as a server that is down: no listener, no connection. */
function down()
{
	return new Promise((resolve) =>
	{
		server.close(resolve);
		for (const socket of sockets)
			socket.destroy();
	});
}

/* Close the connection without an answer. */
function cut(request)
{
	if (request.stream)
		request.stream.session.destroy();
	else
		request.socket.destroy();
}

function readBody(request)
{
	return new Promise((resolve, reject) =>
	{
		const chunks = [];
		let size = 0;

		request.on('data', (chunk) =>
		{
			size += chunk.length;
			if (size <= MAX_BODY)
				chunks.push(chunk);
		});
		request.on('end', () => resolve(size > MAX_BODY ? null : Buffer.concat(chunks)));
		request.on('aborted', () => reject(new Error('aborted')));
		request.on('error', reject);
	});
}

const failure = (status, code, message) => ({ status, body: { code, message } });
const invalid = (detail) => failure(400, 4196, `Invalid request: ${detail}`);

/* Return the fault of the request line and the headers, or null. */
function refuseHead(request, record)
{
	const path = PATH.exec(request.url);
	const query = path && new URLSearchParams(path[2] || '');

	if (!path)
		return failure(404, 2, 'Resource not found.');
	if (request.method !== 'POST')
		return failure(405, 2, 'Method not allowed.');
	record.account = path[1];
	record.test = query.get('test') === 'true';

	const bearer = /^Bearer ([\x21-\x7e]+)$/.exec(request.headers.authorization || '');

	if (!bearer || (control.token !== undefined && bearer[1] !== control.token))
		return failure(401, 2, 'Authentication failed.');
	if (!/^\d{1,18}$/.test(path[1]))
		return invalid(`'${path[1]}' does not match '^\\\\d+$'`);
	if (options.account !== undefined && !options.account.includes(path[1]))
		return failure(403, 29, 'You are not permitted to access that resource.');
	for (const [key, value] of query)
	{
		if (key !== 'test' || !['true', 'false'].includes(value))
			return invalid(`query parameter '${key}'`);
	}
	if (!/^application\/json(\s*;\s*charset=utf-8)?$/i.test(request.headers['content-type'] || ''))
		return failure(415, 4196, 'Content-Type must be application/json.');
	if (request.headers['content-encoding'])
		return failure(415, 4196, 'Content-Encoding is not supported.');
	return null;
}

function parse(bytes)
{
	try
	{
		return { body: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) };
	}
	catch
	{
		return { refusal: invalid('the body is not JSON in UTF-8') };
	}
}

/* Return the verdicts on a body without violation. */
function judge(events, record, rule)
{
	const verdicts = events.map((event, index) =>
	{
		const scripted = control.scriptedFailure(rule, event, index);

		if (scripted)
			return { status: 'failed', error_message: scripted, warning_message: '' };
		if (record.test && index >= TEST_BATCH)
			return {
				status: 'failed',
				error_message: `A test request may hold ${TEST_BATCH} events.`,
				warning_message: '',
			};
		return { status: 'processed', error_message: '', warning_message: warnings(event) };
	});

	return {
		num_events_received: events.length,
		num_events_processed: verdicts.filter((verdict) => verdict.status === 'processed').length,
		events: verdicts,
	};
}

/* Return the answer that the API was seen to give when not all events of a request passed. */
function unprocessable(details)
{
	return {
		status: 422,
		body: {
			code: 953,
			message: 'The action could not be processed properly due to some or all data provided being invalid.',
			details,
		},
	};
}

function send(response, answer, record)
{
	const text = typeof answer.body === 'string' || Buffer.isBuffer(answer.body)
		? answer.body : JSON.stringify(answer.body ?? '');
	const type = typeof answer.body === 'object' && !Buffer.isBuffer(answer.body)
		? 'application/json' : 'text/html';

	record.status = answer.status;
	record.answered_ms = Date.now();
	response.writeHead(answer.status, { 'content-type': type, ...answer.headers });
	response.end(text);
}

async function handle(request, response)
{
	/* The client sent this before it knew that its connection has ended: drop it, as a server does that has stopped reading. */
	if (!request.stream && request.socket.writableEnded)
		return;

	const record = control.newRequest({
		method: request.method,
		path: request.url,
		http_version: request.httpVersion,
		content_type: request.headers['content-type'] ?? null,
		user_agent: request.headers['user-agent'] ?? null,
		accept_encoding: request.headers['accept-encoding'] ?? null,
	});
	const rule = control.nextRule(PATH.exec(request.url)?.[1]);

	response.on('error', () => { });
	request.on('error', () => { });
	response.on('close', () =>
	{
		if (!response.writableEnded)
			record.aborted = true;
	});

	if (rule.cut === 'before')
	{
		record.cut = true;
		return cut(request);
	}

	let bytes;

	try
	{
		bytes = await readBody(request);
	}
	catch
	{
		record.aborted = true;
		return;
	}

	let answer = refuseHead(request, record);
	let events = [];

	if (!answer && bytes === null)
		answer = failure(413, 4196, 'The body is too large.');
	if (!answer)
	{
		const { body, refusal } = parse(bytes);
		const fault = refusal ? null : violation(body);
		const scripted = refusal || fault ? null : control.scriptedRefusal(rule, body.data);

		answer = refusal || (fault ? invalid(fault) : null);
		if (scripted)
			answer = { ...invalid(scripted), status: rule.refusal ?? 400 };
		events = Array.isArray(body?.data) ? body.data : [];
		record.bytes = bytes.length;
		record.events = events.length;
		if (!answer)
		{
			record.lapses = [...new Set(events.flatMap(lapses))];
			if (rule.status === undefined && rule.cut !== 'after')
			{
				const block = judge(events, record, rule);

				answer = rule.refusal === 422 && block.num_events_processed < events.length
					? unprocessable(block) : { status: 200, body: block };
			}
		}
		else
		{
			record.violation = answer.body.message;
			if (scripted && rule.page !== undefined)
				answer.body = rule.page;
		}
	}
	await control.hold(rule, record);
	if (record.aborted)
		answer = null;			/* the client closed the connection: nothing was processed */

	/* A script's rule precedes all other checks but a violation. */
	if (rule.status !== undefined && !record.violation)
		answer = { status: rule.status, body: rule.body ?? { code: 0, message: 'scripted' } };
	else if (answer && answer.status === 200 && rule.body !== undefined)
		answer.body = rule.body;
	else if (answer && answer.status === 200 && rule.messages)
		answer.body = control.reword(answer.body, rule.messages);

	control.note(record, events,
		record.aborted || rule.cut === 'after' || UNPROCESSED.has(rule.unkind) ? null : answer);
	if (rule.cut)
	{
		record.cut = true;
		return cut(request);
	}
	if (rule.lag)
		await new Promise((resolve) => setTimeout(resolve, rule.lag));
	if (record.aborted)
		return;
	if (rule.unkind && !record.violation)
	{
		record.status = answer.status;
		return KINDS[rule.unkind](request, response, rule.n ?? 0, { ...answer, headers: rule.headers });
	}
	send(response, { ...answer, headers: rule.headers }, record);
}

async function main()
{
	await up();

	const controlPort = await control.listen(Number(options['control-port']));

	process.stdout.write(JSON.stringify({ pid: process.pid, port, control_port: controlPort }) + '\n');
	if (options['until-eof'])
	{
		process.stdin.on('end', () => process.exit(0));
		process.stdin.resume();
	}
	process.on('SIGTERM', () => process.exit(0));
}

main().catch((error) =>
{
	if (error.code !== 'EADDRINUSE')
		throw error;
	process.stderr.write(`Port ${error.port} of this machine is in use: another stand-in may be running. `
		+ 'End it, or name another port.\n');
	process.exit(1);
});
