/*
 * validate.js
 *	  Check events by Pinterest's own description of them, with a validator that
 *	  others maintain (ajv), and by the stub's hand-written one.
 *
 * Standard input: an event a line, as it would stand in a request's data
 * array.  Standard output: for each a JSON object with
 *	 schema: null, or the violation of the description
 *	 shape:	 the same without the demand of em, hashed_maids, or IP and user agent
 *	 stub:	 null, or the violation that the stub finds
 *	 lapses: what the schema accepts and a careful client doesn't send
 *
 * validate.js --examples prints the example requests' events instead, and one
 * that is made of the examples of all fields.
 */
'use strict';

const fs = require('fs');
const path = require('path');

const api = JSON.parse(fs.readFileSync(path.join(__dirname, '../data/api/conversion-events.json'), 'utf8'));
const schemas = api.components.schemas;

/* Replace $ref by the schema that it names. */
function resolve(schema)
{
	return schema.$ref ? schemas[schema.$ref.split('/').pop()] : schema;
}

/* Return the value that the examples of all fields make together. */
function exampleOf(schema, parent)
{
	const own = resolve(schema);

	if (own.properties || own.anyOf)
	{
		const object = {};
		const properties = own.properties || schemas[`${parent}Properties`].properties;

		for (const [key, property] of Object.entries(properties))
		{
			const name = property.$ref ? property.$ref.split('/').pop() : undefined;
			const value = exampleOf(property, name);

			if (value !== undefined)
				object[key] = value;
		}
		return object;
	}
	return own.example ?? own.enum?.[0];
}

function printExamples()
{
	const item = schemas.ConversionEvents.properties.data.items;
	const all = exampleOf(item);

	/* the one field without an example of its own */
	all.user_data.client_user_agent = all.app_info.user_agent;
	for (const example of Object.values(api.examples))
		example.data.forEach((event) => console.log(JSON.stringify(event)));
	console.log(JSON.stringify(all));
	/* every standard name, with the fields that the second example has */
	for (const name of item.properties.event_name['x-known-values-5.28'])
		console.log(JSON.stringify({ ...api.examples.web_checkout.data[0], event_name: name }));
}

function compile(components)
{
	const Ajv = require('ajv');
	const addFormats = require('ajv-formats');
	const ajv = new Ajv({ strict: false });

	addFormats(ajv);
	ajv.addSchema({ $id: 'api', components: { schemas: components } });
	return (body) =>
	{
		const validate = ajv.getSchema('api#/components/schemas/ConversionEvents');

		return validate(body) ? null : ajv.errorsText(validate.errors, { dataVar: 'body' });
	};
}

/* a quoted value may have been cut in the middle of a character */
function ascii(text)
{
	return text && text.replace(/[^\x20-\x7e]/g, '?');
}

function validateLines()
{
	const { violation, lapses } = require('../stub/schema.js');
	const schema = compile(schemas);
	const shape = compile({
		...schemas,
		ConversionEventsUserData: { $ref: '#/components/schemas/ConversionEventsUserDataProperties' },
	});

	for (const line of fs.readFileSync(0, 'utf8').split('\n'))
	{
		if (line === '')
			continue;

		const event = JSON.parse(line);
		const body = { data: [event] };

		const wrong = shape(body);

		process.stdout.write(JSON.stringify({
			schema: ascii(schema(body)), shape: ascii(wrong), stub: ascii(violation(body)),
			lapses: wrong ? [] : lapses(event),
		}) + '\n');
	}
}

if (process.argv[2] === '--examples')
	printExamples();
else
	validateLines();
