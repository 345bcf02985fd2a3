/*
 * control.js
 *	  The stub's second port, plain HTTP on 127.0.0.1 for tests alone: it lists the
 *	  received requests, and takes scripts for the next ones.
 *
 * GET  /received	the received events, a JSON object a line
 * GET  /requests	the requests, likewise
 * GET  /count		counts of requests, events and connections
 * POST /script		a rule or an array of rules, each for the next request(s)
 * POST /release	answer the requests that hang
 * POST /reset		forget everything, scripts included, and release
 * POST /token		accept this token (the body) from now on
 * POST /down, /up	stop listening, and listen again on the same port
 *
 * A rule: {times: 1 (0: for good), account: for this one alone, status, headers,
 *	 body, delay: ms, lag: ms, hang: true, cut: 'before' | 'after' | 'lost',
 *	 garbage: true, fail: {EVENT_ID or index: message}, refuse: [EVENT_ID], refusal: 400, page: HTML,
 *	 messages: 'omit' | 'null', unkind: NAME, n: NUMBER (unkind.js)}
 * delay: wait before processing; lag: process at once, and delay the answer.  cut:
 * close the connection before the body is read, after it, or after the events were
 * processed, so that only the answer is lost; refuse: as a violation of the schema, which
 * refuses every event of the request, with the status refusal, and with the page
 * instead of the API's words if there is one; fail with the refusal 422: the verdicts
 * come as the API was seen to send them, in the details of a 422.  A
 * request without a rule is answered as the API does.
 */
'use strict';

const http = require('http');

const { KINDS } = require('./unkind.js');

const RULE_KEYS = new Set(['times', 'account', 'status', 'headers', 'body', 'delay', 'lag', 'hang', 'cut', 'garbage',
	'fail', 'refuse', 'refusal', 'page', 'messages', 'unkind', 'n']);

class Control
{
	/* token: undefined accepts any; open: number of open connections */
	constructor({ down, up, open, token })
	{
		this.token = token;
		this.down = down;
		this.up = up;
		this.open = open;
		this.held = new Set();
		this.reset();
	}

	reset()
	{
		this.requests = [];
		this.received = [];
		this.rules = [];
		this.processed = new Map();
		this.counts = { connections: 0, resumed: 0, tls_errors: 0 };
		this.release();
	}

	/* ---- for the API's side ---- */

	newRequest(fields)
	{
		const record = {
			number: this.requests.length + 1, arrived_ms: Date.now(), ...fields,
			events: 0, status: null,
		};

		this.requests.push(record);
		return record;
	}

	nextRule(account)
	{
		const index = this.rules.findIndex((rule) => rule.account === undefined || rule.account === account);
		const rule = this.rules[index];

		if (!rule)
			return {};
		if (rule.times > 0 && --rule.times === 0)
			this.rules.splice(index, 1);
		return rule;
	}

	scriptedFailure(rule, event, index)
	{
		const texts = rule.fail || {};

		return texts[event.event_id] ?? texts[index];
	}

	scriptedRefusal(rule, events)
	{
		const index = events.findIndex((event) => (rule.refuse || []).includes(event.event_id));

		return index < 0 ? null : `event ${index} is not valid under any of the given schemas`;
	}

	/* Wait until the rule's delay is over, or until /release. */
	async hold(rule, record)
	{
		if (rule.delay)
			await new Promise((resolve) => setTimeout(resolve, rule.delay));
		if (rule.hang)
		{
			record.hanging = true;
			await new Promise((resolve) => this.held.add(resolve));
			record.hanging = false;
		}
	}

	release()
	{
		this.held.forEach((resolve) => resolve());
		this.held.clear();
	}

	/* Omit empty messages, or make them null instead of "". */
	reword(body, how)
	{
		const events = body.events.map((event) =>
		{
			const copy = { ...event };

			for (const key of ['error_message', 'warning_message'])
			{
				if (copy[key] === '' && how === 'omit')
					delete copy[key];
				else if (copy[key] === '')
					copy[key] = null;
			}
			return copy;
		});

		return { events, num_events_processed: body.num_events_processed,
			num_events_received: body.num_events_received };
	}

	/* answer null: these events get no verdict */
	note(record, events, answer)
	{
		const block = answer?.status === 422 ? answer.body?.details : answer?.body;
		const ok = answer && (answer.status === 200 || Array.isArray(block?.events));

		events.forEach((event, index) =>
		{
			/* not from a scripted body: the test said something else on purpose */
			const verdict = ok ? block?.events?.[index]?.status ?? 'processed' : 'none';
			const key = `${event?.event_name}\n${event?.event_id}`;
			const times = this.processed.get(key) || 0;

			if (verdict === 'processed' && !record.test)
				this.processed.set(key, times + 1);
			this.received.push({
				request: record.number, index, arrived_ms: record.arrived_ms, test: record.test,
				verdict, seen_before: times > 0, event,
			});
		});
	}

	/* ---- for the tests' side ---- */

	figures()
	{
		const real = this.received.filter((entry) => !entry.test);
		const of = (verdict) => real.filter((entry) => entry.verdict === verdict).length;

		return {
			...this.counts,
			open: this.open(),
			requests: this.requests.length,
			hanging: this.requests.filter((record) => record.hanging).length,
			events: this.received.length,
			processed: of('processed'),
			failed: of('failed'),
			distinct: this.processed.size,
			duplicates: real.filter((entry) => entry.verdict === 'processed' && entry.seen_before).length,
			violations: this.requests.filter((record) => record.violation).length,
			lapses: [...new Set(this.requests.flatMap((record) => record.lapses || []))],
		};
	}

	script(rules)
	{
		for (const rule of [].concat(rules))
		{
			const wrong = Object.keys(rule).filter((key) => !RULE_KEYS.has(key));

			if (wrong.length > 0)
				throw new Error(`unknown in a rule: ${wrong.join(', ')}`);
			if (rule.cut !== undefined && !['before', 'after', 'lost'].includes(rule.cut))
				throw new Error('cut is before, after or lost');
			if (rule.unkind !== undefined && !Object.hasOwn(KINDS, rule.unkind))
				throw new Error(`unkind is one of ${Object.keys(KINDS).join(', ')}`);
			if (rule.garbage)
				rule.body = Buffer.from([0x1f, 0x8b, 0x00, 0xff, 0xfe, 0x7b, 0x22, 0x80, 0x0a, 0xc3]);
			this.rules.push({ times: 1, ...rule });
		}
	}

	async act(method, path, body)
	{
		const lines = (list) => list.map((entry) => JSON.stringify(entry) + '\n').join('');

		switch (`${method} ${path}`)
		{
			case 'GET /received':
				return lines(this.received);
			case 'GET /requests':
				return lines(this.requests);
			case 'GET /count':
				return JSON.stringify(this.figures()) + '\n';
			case 'POST /script':
				this.script(JSON.parse(body));
				return '{}\n';
			case 'POST /release':
				this.release();
				return '{}\n';
			case 'POST /reset':
				this.reset();
				return '{}\n';
			case 'POST /token':
				this.token = body;
				return '{}\n';
			case 'POST /down':
				await this.down();
				return '{}\n';
			case 'POST /up':
				await this.up();
				return '{}\n';
			default:
				throw new Error(`no such thing: ${method} ${path}`);
		}
	}

	listen(port)
	{
		const server = http.createServer(async (request, response) =>
		{
			const chunks = [];

			for await (const chunk of request)
				chunks.push(chunk);
			try
			{
				const text = await this.act(request.method, request.url, Buffer.concat(chunks).toString());

				response.writeHead(200, { 'content-type': 'application/json' });
				response.end(text);
			}
			catch (error)
			{
				response.writeHead(400, { 'content-type': 'application/json' });
				response.end(JSON.stringify({ message: error.message }) + '\n');
			}
		});

		return new Promise((resolve, reject) =>
		{
			server.once('error', reject);
			server.listen(port, '127.0.0.1', () => resolve(server.address().port));
		});
	}
}

module.exports = { Control };
