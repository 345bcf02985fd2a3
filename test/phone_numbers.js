/*
 * phone_numbers.js
 *	  Print telephone numbers of all regions as libphonenumber writes them: lines
 *	  of region, kind, number and its digits, separated by tabs.
 *
 * Each region has an example and numbers made of its patterns for fixed and for
 * mobile lines, each in national and international form, with blanks and without.
 */
'use strict';

const phone = require('libphonenumber-js/max');
const metadata = require('libphonenumber-js/metadata.max.json');
const examples = require('libphonenumber-js/examples.mobile.json');

const EACH = 6;
const KINDS = [['fixed', 0], ['mobile', 1]];

let seed = 20261127;

/* A random generator with a fixed seed: the same numbers in every run. */
function below(n)
{
	seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
	return (seed >>> 8) % n;
}

/* Return a function that makes strings which match a pattern of digits. */
function generator(pattern)
{
	let at = 0;

	function alternatives()
	{
		const choices = [sequence()];

		while (pattern[at] === '|')
		{
			at++;
			choices.push(sequence());
		}
		return () => choices[below(choices.length)]();
	}

	function digits()
	{
		const set = [];

		for (at++; pattern[at] !== ']'; at++)
		{
			if (pattern[at] === '\\')
			{
				at++;
				set.push(...'0123456789');
			}
			else if (pattern[at + 1] === '-')
			{
				for (let d = Number(pattern[at]); d <= Number(pattern[at + 2]); d++)
					set.push(String(d));
				at += 2;
			}
			else
				set.push(pattern[at]);
		}
		at++;
		return () => set[below(set.length)];
	}

	function atom()
	{
		if (pattern[at] === '(')
		{
			at += pattern.startsWith('(?:', at) ? 3 : 1;

			const inner = alternatives();

			at++;
			return inner;
		}
		if (pattern[at] === '[')
			return digits();
		if (pattern[at] === '\\')
		{
			at += 2;
			return () => String(below(10));
		}

		const digit = pattern[at++];

		return () => digit;
	}

	function times()
	{
		if (pattern[at] === '?')
		{
			at++;
			return [0, 1];
		}
		if (pattern[at] !== '{')
			return [1, 1];

		const end = pattern.indexOf('}', at);
		const [least, most] = pattern.slice(at + 1, end).split(',').map(Number);

		at = end + 1;
		return [least, most === undefined ? least : most];
	}

	function sequence()
	{
		const parts = [];

		while (at < pattern.length && pattern[at] !== '|' && pattern[at] !== ')')
			parts.push([atom(), times()]);
		return () => parts.map(([make, [least, most]]) =>
			Array.from({ length: least + below(most - least + 1) }, make).join('')).join('');
	}

	return alternatives();
}

function write(region, kind, number)
{
	const national = number.formatNational();

	for (const form of [national, national.replace(/[^0-9]/g, ''), number.formatInternational(), number.number])
		console.log([region, kind, form, number.number.slice(1)].join('\t'));
}

for (const region of Object.keys(metadata.countries))
{
	const types = metadata.countries[region][11] || [];

	if (examples[region])
		write(region, 'mobile', phone.getExampleNumber(region, examples));
	for (const [kind, type] of KINDS)
	{
		if (!types[type] || !types[type][0])
			continue;

		const make = generator(types[type][0]);

		for (let tries = 0, found = 0; tries < 100 && found < EACH; tries++)
		{
			const number = phone.parsePhoneNumberFromString(make(), region);

			if (number && number.isValid() && number.country === region)
			{
				write(region, kind, number);
				found++;
			}
		}
	}
}
