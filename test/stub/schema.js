/*
 * schema.js
 *	  The schema of a request to POST /ad_accounts/{id}/events, and a validator
 *	  that words violations as Pinterest's API does.
 *
 * One violation refuses the whole request.  Values that the API accepts but a
 * careful client never sends (nulls, empty arrays, unhashed identifiers) are no
 * violations; lapses() names them, and the tests check it.
 *
 * Notation: s string, i integer, b boolean; "?" may be null; "<=n" longest
 * string; "a..b" range; [x] array of x; {..} closed object; "a|b" one of these.
 */
'use strict';

const SIZE = 'i 0..1048576';
const PIXELS = 'i 0..30720';

const CONTENT = {
	id: 's', item_price: 's', quantity: 'i', item_name: 's', item_category: 's', item_brand: 's',
	item_brand_id: 's <=64',
};

const CUSTOM_DATA = {
	currency: 's?', value: 's?', predicted_ltv: 's?', num_items: 'i', order_id: 's?',
	search_string: 's?', content_ids: ['s'], contents: [CONTENT], content_name: 's?',
	content_category: 's?', content_brand: 's?', opt_out_type: 's?', np: 's?',
	external_measurement_id: 's?', external_measurement_vendor_id: 'i?',
};

const APP_INFO = {
	app_id: 's <=200', app_name: 's <=200', app_package_name: 's <=200', app_store: 's <=100',
	app_version: 's <=100', user_agent: 's <=16384', install_time: 'i 0..9007199254740991',
	window_height: PIXELS, window_width: PIXELS,
};

const DEVICE_INFO = {
	brand: 's <=100', carrier: 's <=100', kernel_version: 's <=100', model: 's <=100',
	os_name: 's <=100', os_release_name: 's <=100', os_version: 's <=100', type: 's <=100',
	locale: 's <=35', timezone: 's <=40', timezone_abbr: 's <=5', languages: ['s'],
	battery_level: 'i 0..100', cpu_cores: 'i 0..1152', screen_density: 'i 0..100000',
	screen_height: PIXELS, screen_width: PIXELS, storage_size: SIZE, storage_free_space: SIZE,
	external_storage_size: SIZE, external_storage_free_space: SIZE,
	form_factor: 'desktop|laptop|cellphone|tablet|smartwatch|tv|vr|console|other',
	network_type: 'wifi|cellular_2g|cellular_3g|cellular_4g|cellular_5g|cellular_6g|ethernet|unknown',
	os_family: 'ios|android|macos|windows|linux|bsd|other',
};

const HASHED = ['em', 'ph', 'ge', 'db', 'ln', 'fn', 'ct', 'st', 'zp', 'country', 'external_id',
	'hashed_maids'];

/* the one open object */
const USER_DATA = {
	client_ip_address: 's', client_user_agent: 's', click_id: 's?', partner_id: 's?',
	customer_type: 'new|returning',
};
for (const key of HASHED)
	USER_DATA[key] = ['s'];

const EVENT = {
	event_name: 's', action_source: 's', event_time: 'i', event_id: 's', user_data: USER_DATA,
	event_source_url: 's?', opt_out: 'b', partner_name: 's?', app_id: 's?', app_name: 's?',
	app_version: 's?', device_brand: 's?', device_carrier: 's?', device_model: 's?',
	device_type: 's?', os_version: 's?', wifi: 'b', language: 's?', custom_data: CUSTOM_DATA,
	app_info: APP_INFO, device_info: DEVICE_INFO, advertiser_tracking_enabled: 'b',
};
const REQUIRED = ['event_name', 'action_source', 'event_time', 'user_data', 'event_id'];

const EVENT_NAMES = new Set(['add_payment_info', 'add_to_cart', 'add_to_wishlist', 'app_install',
	'app_open', 'checkout', 'contact', 'custom', 'customize_product', 'find_location',
	'initiate_checkout', 'lead', 'page_visit', 'schedule', 'search', 'signup', 'start_trial',
	'submit_application', 'subscribe', 'view_category', 'view_content', 'watch_video']);
const ACTION_SOURCES = new Set(['web', 'app_android', 'app_ios', 'offline']);

class Violation extends Error { }

function show(value)
{
	const text = JSON.stringify(value);

	return text.length > 200 ? text.slice(0, 200) + '...' : text;
}

function typeOf(value)
{
	if (value === null)
		return 'null';
	if (Array.isArray(value))
		return 'array';
	if (Number.isInteger(value))
		return 'integer';
	return typeof value;		/* string, number, boolean, object */
}

function demand(value, type)
{
	if (typeOf(value) !== type)
		throw new Violation(`${show(value)} is not of type '${type}'`);
}

function unexpected(object, known)
{
	const extra = Object.keys(object).filter((key) => !Object.hasOwn(known, key));

	if (extra.length > 0)
		throw new Violation('Additional properties are not allowed ('
			+ extra.map((key) => `'${key}'`).join(', ')
			+ (extra.length > 1 ? ' were' : ' was') + ' unexpected)');
}

function required(object, keys)
{
	for (const key of keys)
	{
		if (!Object.hasOwn(object, key))
			throw new Violation(`'${key}' is a required property`);
	}
}

const SCALARS = { s: 'string', i: 'integer', b: 'boolean' };

function scalar(value, rule)
{
	if (rule.includes('|'))
	{
		if (!rule.split('|').includes(value))
			throw new Violation(`${show(value)} is not one of ${show(rule.split('|'))}`);
		return;
	}

	const [head, limit] = rule.split(' ');

	if (value === null && head.endsWith('?'))
		return;
	demand(value, SCALARS[head[0]]);
	if (!limit)
		return;
	if (limit.startsWith('<='))
	{
		if ([...value].length > Number(limit.slice(2)))
			throw new Violation(`${show(value)} is too long`);
		return;
	}

	const [least, most] = limit.split('..').map(Number);

	if (value < least)
		throw new Violation(`${value} is less than the minimum of ${least}`);
	if (value > most)
		throw new Violation(`${value} is greater than the maximum of ${most}`);
}

function check(value, rule)
{
	if (typeof rule === 'string')
		scalar(value, rule);
	else if (Array.isArray(rule))
	{
		demand(value, 'array');
		for (const item of value)
			check(item, rule[0]);
	}
	else
	{
		demand(value, 'object');
		if (rule !== USER_DATA)
			unexpected(value, rule);
		for (const key of Object.keys(value))
		{
			if (Object.hasOwn(rule, key))
				check(value[key], rule[key]);
		}
	}
}

function checkEvent(event)
{
	demand(event, 'object');
	required(event, REQUIRED);
	check(event, EVENT);
	if (event.device_info && (event.device_info.languages || []).length > 100)
		throw new Violation(`${show(event.device_info.languages)} is too long`);

	const user = event.user_data;

	if (!('em' in user) && !('hashed_maids' in user)
		&& !('client_ip_address' in user && 'client_user_agent' in user))
		throw new Violation(`${show(user)} is not valid under any of the given schemas`);
}

/* Return the first violation in a parsed body, in words; null if there is none. */
function violation(body)
{
	try
	{
		demand(body, 'object');
		required(body, ['data']);
		unexpected(body, { data: true });
		demand(body.data, 'array');
		if (body.data.length < 1)
			throw new Violation('[] is too short');
		if (body.data.length > 1000)
			throw new Violation(`${show(body.data)} is too long`);
		body.data.forEach(checkEvent);
		return null;
	}
	catch (error)
	{
		if (error instanceof Violation)
			return error.message;
		throw error;
	}
}

const DECIMAL = /^(0|[1-9][0-9]*)(\.[0-9]+)?$/;

/* Return the lapses: what the schema accepts but a careful client doesn't send.  Quotes no value. */
function lapses(event)
{
	const found = [];
	const custom = event.custom_data || {};
	const walk = (value, path) =>
	{
		if (value === null)
			found.push(`${path} is null`);
		else if (Array.isArray(value) && value.length === 0)
			found.push(`${path} is an empty array`);
		else if (typeof value === 'object')
			Object.entries(value).forEach(([key, inner]) => walk(inner, `${path}.${key}`));
		else if (value === '')
			found.push(`${path} is empty`);
		else if (typeof value === 'string' && /[^\s@/]+@[^\s@/]+\.[a-z]{2,}/i.test(value))
			found.push(`${path} looks like an e-mail address`);
	};

	walk(event, 'event');
	for (const key of HASHED)
	{
		if ((event.user_data[key] || []).some((value) => !/^[0-9a-f]{64}$/.test(value)))
			found.push(`user_data.${key} is not hashed`);
	}
	for (const key of Object.keys(event.user_data))
	{
		if (!Object.hasOwn(USER_DATA, key))
			found.push(`user_data.${key} is unknown`);
	}
	if (!EVENT_NAMES.has(event.event_name))
		found.push('event_name is none of the standard ones');
	if (!ACTION_SOURCES.has(event.action_source))
		found.push('action_source is unknown');
	if (event.event_time > Date.now() / 1000 + 1)
		found.push('event_time lies in the future');
	for (const key of ['value', 'predicted_ltv'])
	{
		if (typeof custom[key] === 'string' && !DECIMAL.test(custom[key]))
			found.push(`custom_data.${key} is no decimal number`);
	}
	for (const line of custom.contents || [])
	{
		if (line.item_price !== undefined && !DECIMAL.test(line.item_price))
			found.push('custom_data.contents.item_price is no decimal number');
	}
	if (typeof custom.currency === 'string' && !/^[A-Z]{3}$/.test(custom.currency))
		found.push('custom_data.currency is no currency code');
	if ((event.device_info?.languages || []).some((language) => !/^[a-z]{2}$/.test(language)))
		found.push('device_info.languages has what is no two-letter code');
	if (typeof event.language === 'string' && !/^[a-z]{2}$/.test(event.language))
		found.push('language is no two-letter code');
	return found;
}

/* Return the warnings that the API adds to a processed event. */
function warnings(event)
{
	const texts = [];

	if (!('external_id' in event.user_data))
		texts.push('external_id is missing. We highly recommend this on all events.');
	if (!event.user_data.click_id)
		texts.push('click_id is missing');
	if (!EVENT_NAMES.has(event.event_name))
		texts.push("This event has a non-standard name and is currently being labeled as an 'Unknown' event.");
	return texts.join(' ; ');
}

module.exports = { violation, lapses, warnings };
