/*
 * proxy.js
 *	  A small HTTP proxy for tests, which knows CONNECT and nothing else.
 *
 * node proxy.js [--port N] [--status CODE] [--hang] [--until-eof]
 *
 * --status: answer every CONNECT with this status and a Retry-After.  --hang:
 * answer none.  The first line of JSON on stdout has the port; then each request
 * prints one: {method, target, authorized, credentials}.  The proxy doesn't read
 * the tunnel's content.
 */
'use strict';

const http = require('http');
const net = require('net');
const { parseArgs } = require('util');

const { values: options } = parseArgs({
	options: {
		port: { type: 'string', default: '0' },
		status: { type: 'string' },
		hang: { type: 'boolean', default: false },
		'until-eof': { type: 'boolean', default: false },
	},
});

const say = (object) => process.stdout.write(JSON.stringify(object) + '\n');
const seen = (request) => say({
	method: request.method, target: request.url,
	authorized: 'authorization' in request.headers,
	credentials: Buffer.from((request.headers['proxy-authorization'] ?? '').replace(/^Basic /, ''), 'base64').toString(),
});

const server = http.createServer((request, response) =>
{
	seen(request);
	response.writeHead(405);
	response.end();
});

server.on('connect', (request, client, head) =>
{
	seen(request);
	client.on('error', () => { });
	if (options.hang)
		return;
	if (options.status)
	{
		client.end(`HTTP/1.1 ${options.status} Refused\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n`);
		return;
	}

	const [, host, port] = /^(.*):(\d+)$/.exec(request.url);
	// Try a name's addresses in turn: localhost is ::1 too, where no server listens.
	const there = net.connect({ port: Number(port), host, autoSelectFamily: true }, () =>
	{
		client.write('HTTP/1.1 200 Connection established\r\n\r\n');
		there.write(head);
		there.pipe(client);
		client.pipe(there);
	});

	there.on('error', () => client.destroy());
	client.on('close', () => there.destroy());
});

server.listen(Number(options.port), '127.0.0.1', () => say({ port: server.address().port }));
if (options['until-eof'])
{
	process.stdin.on('end', () => process.exit(0));
	process.stdin.resume();
}
