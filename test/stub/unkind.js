/*
 * unkind.js
 *	  Answers that no well-behaved server gives, by name; a rule selects one with
 *	  {unkind: NAME, n: NUMBER}.
 *
 * size		a body of n bytes, as fast as the client reads
 * escapes	the same, a JSON string full of \u escapes
 * entries	the same, valid JSON with far too many tiny entries
 * trickle	one byte every n ms
 * bomb		gzip that unpacks to n bytes, declared as a content encoding
 * transfer_bomb	the same as a transfer encoding (HTTP/1.1)
 * flood	n header lines of 1 kB (HTTP/1.1)
 * early	n interim answers (103) of 1 kB before the answer
 * longer, shorter	a Content-Length that is n more or less than the body's (HTTP/1.1)
 * raw		the rule's body and nothing else, then the end (HTTP/1.1); n 1: in Latin-1
 * reset	RST_STREAM with the code n (HTTP/2); nothing was processed
 * goaway	GOAWAY with the code n, nothing was processed, and the end (HTTP/2)
 * leaving	GOAWAY without an error, and then the ordinary answer (HTTP/2)
 * packed	the ordinary answer, in the content encoding of that number (ENCODINGS)
 * hinted	an interim answer with headers of its own, then the ordinary answer
 * trailed	the ordinary answer, with trailers that look like headers
 *
 * control.js decides which request gets which answer.
 */
'use strict';

const zlib = require('zlib');

const PIECE = 64 * 1024;
const KB = 'x'.repeat(1000);
const ENCODINGS = [
	['gzip', zlib.gzipSync], ['deflate', zlib.deflateSync], ['br', zlib.brotliCompressSync],
	['gzip, gzip', (body) => zlib.gzipSync(zlib.gzipSync(body))],
	['identity', (body) => body],
	['x-own', (body) => body],	/* an unknown encoding */
	['gzip', (body) => body],	/* the body is not gzip */
];
/* An hour of waiting, for a client that takes these headers for the answer's. */
const WAITING = { 'retry-after': '3600', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '3600' };

/* kinds whose events are not processed */
const UNPROCESSED = new Set(['reset', 'goaway']);

const gone = (response) => response.destroyed || response.writableEnded || response.stream?.destroyed;

/* Write head, repeated parts of this many bytes in all, and tail, no faster than the client reads. */
async function stream(response, n, { head = '', repeat = ' ', tail = '' })
{
	const piece = Buffer.from(repeat.repeat(Math.max(1, Math.floor(PIECE / repeat.length))));
	let left = n - head.length - tail.length;

	response.write(head);
	while (left > 0 && !gone(response))
	{
		/* only whole repetitions, so that valid JSON stays valid */
		const length = Math.min(piece.length, Math.ceil(left / repeat.length) * repeat.length);

		left -= length;
		if (!response.write(piece.subarray(0, length)) && !gone(response))
			await new Promise((resolve) =>
			{
				response.once('drain', resolve);
				response.once('close', resolve);
			});
	}
	if (!gone(response))
		response.end(tail);
}

const head = (response, answer, headers) =>
	response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers, ...headers });
const text = (answer) => (typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
const bomb = (n) => zlib.gzipSync(Buffer.alloc(n, ' '));

/* Return the answer's bytes in HTTP/1.1. */
function wire(answer, headers, body)
{
	const lines = { 'content-type': 'application/json', 'connection': 'close', ...answer.headers, ...headers };

	return `HTTP/1.1 ${answer.status} Whatever\r\n`
		+ Object.entries(lines).map(([key, value]) => `${key}: ${value}\r\n`).join('') + '\r\n' + body;
}

function session(request)
{
	if (!request.stream)
		throw new Error('only by HTTP/2');
	return request.stream.session;
}

const KINDS = {
	size(request, response, n, answer)
	{
		head(response, answer);
		return stream(response, n, {});
	},

	escapes(request, response, n, answer)
	{
		head(response, answer);
		return stream(response, n, { head: '{"message":"', repeat: '\\u0041', tail: '"}' });
	},

	entries(request, response, n, answer)
	{
		head(response, answer);
		return stream(response, n, { head: '{"events":[{}', repeat: ',{"a":1}', tail: ']}' });
	},

	async trickle(request, response, n, answer)
	{
		head(response, answer);
		for (const byte of Buffer.from(text(answer)))
		{
			if (gone(response))
				return;
			response.write(Buffer.from([byte]));
			await new Promise((resolve) => setTimeout(resolve, n));
		}
		response.end();
	},

	bomb(request, response, n, answer)
	{
		head(response, answer, { 'content-encoding': 'gzip' });
		response.end(bomb(n));
	},

	transfer_bomb(request, response, n, answer)
	{
		request.socket.write(wire(answer, { 'transfer-encoding': 'gzip' }, ''));
		request.socket.end(bomb(n));
	},

	flood(request, response, n, answer)
	{
		const headers = {};

		for (let i = 0; i < n; i++)
			headers[`x-flood-${i}`] = KB;
		request.socket.end(wire(answer, headers, text(answer)));
	},

	async early(request, response, n, answer)
	{
		for (let i = 0; i < n && !gone(response); i++)
		{
			if (request.stream)
				request.stream.additionalHeaders({ ':status': 103, 'x-early': KB });
			else
				request.socket.write(`HTTP/1.1 103 Early Hints\r\nx-early: ${KB}\r\n\r\n`);
			/* so that the client's closing is noticed */
			await new Promise((resolve) => setImmediate(resolve));
		}
		if (gone(response))
			return;
		head(response, answer);
		response.end(text(answer));
	},

	longer(request, response, n, answer)
	{
		request.socket.end(wire(answer, { 'content-length': text(answer).length + n }, text(answer)));
	},

	shorter(request, response, n, answer)
	{
		request.socket.end(wire(answer, { 'content-length': text(answer).length - n }, text(answer)));
	},

	raw(request, response, n, answer)
	{
		request.socket.end(text(answer), n === 1 ? 'latin1' : 'utf8');
	},

	reset(request, response, n)
	{
		session(request);
		request.stream.close(n);
	},

	goaway(request, response, n)
	{
		const connection = session(request);

		connection.goaway(n, 0);
		setImmediate(() => connection.destroy());
	},

	leaving(request, response, n, answer)
	{
		session(request).goaway(0, request.stream.id);
		head(response, answer);
		response.end(text(answer));
	},

	packed(request, response, n, answer)
	{
		const [name, pack] = ENCODINGS[n];

		head(response, answer, { 'content-encoding': name });
		response.end(pack(Buffer.from(text(answer))));
	},

	hinted(request, response, n, answer)
	{
		if (request.stream)
			request.stream.additionalHeaders({ ':status': 103, ...WAITING });
		else
			request.socket.write('HTTP/1.1 103 Early Hints\r\n'
				+ Object.entries(WAITING).map(([key, value]) => `${key}: ${value}\r\n`).join('') + '\r\n');
		head(response, answer);
		response.end(text(answer));
	},

	trailed(request, response, n, answer)
	{
		head(response, answer, { trailer: Object.keys(WAITING).join(', ') });
		response.write(text(answer));
		response.addTrailers(WAITING);
		response.end();
	},
};

module.exports = { KINDS, UNPROCESSED };
