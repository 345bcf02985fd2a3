/*
 * look.js
 *	  Opens a page of report_html() in headless Chromium and prints, as JSON,
 *	  what a reader would find there.
 *
 * Usage: node look.js CHROMIUM PAGE.html...; playwright-core and axe-core by
 * NODE_PATH.  A line per page.
 *
 * fetched: requests but the page's own; said: console and errors; axe: serious
 * and critical faults per colour scheme; contrast: of the statuses' colours to
 * the page; overflow: how much wider than the screen; the rest is what is drawn
 * and what the tables say.
 */
'use strict';

const { chromium } = require('playwright-core');
const axe = require('axe-core');

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
	'--disable-background-networking', '--disable-component-update', '--disable-sync'];

const PATIENCE = 120000;	/* ms, on a machine with other things to do */

/* runs in the page */
function read()
{
	const words = (element) => element.textContent.replace(/\s+/g, ' ').trim();
	const tables = {};
	const sections = {};

	for (const table of document.querySelectorAll('table'))
	{
		/* <br> divides what stands in one cell */
		table.querySelectorAll('br').forEach((br) => br.replaceWith('; '));
		tables[words(table.caption)] = [...table.querySelectorAll('tr')].map((row) => [...row.cells].map(words));
	}
	for (const section of document.querySelectorAll('section'))
		sections[section.querySelector('h2').id] = words(section);
	return {
		title: document.title,
		verdict: words(document.querySelector('.verdict')),
		tiles: Object.fromEntries([...document.querySelectorAll('.tiles div')].map((tile) =>
			[words(tile.querySelector('dt')), words(tile.querySelector('dd'))])),
		top: document.querySelector('.axis') && words(document.querySelector('.axis span')),
		bars: [...document.querySelectorAll('.stack rect')].map((rect) => ({
			status: rect.getAttribute('class'), says: rect.querySelector('title').textContent,
			...(({ x, y, width, height }) => ({ x, y, width, height }))(rect.getBoundingClientRect()),
		})),
		matches: Object.fromEntries([...document.querySelectorAll('.cards > div')].map((card) =>
			[words(card.querySelector('h3')), {
				share: words(card.querySelector('p')),
				bars: [...card.querySelectorAll('rect:not(.ground)')].map((rect) => rect.getBoundingClientRect().height / 48),
			}])),
		described: [...document.querySelectorAll('svg')].every((svg) => svg.getAttribute('aria-labelledby').split(' ')
			.every((id) => document.getElementById(id) && words(document.getElementById(id)) !== '')),
		scripts: document.querySelectorAll('script, iframe, object, embed, link, img, base, form').length,
		tables, sections,
	};
}

/* of each status's colour to the page's, by WCAG's formula */
function contrast()
{
	const style = getComputedStyle(document.documentElement);
	const luminance = (name) =>
	{
		const hex = style.getPropertyValue(name).trim();
		const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
			.map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);

		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const paper = luminance('--paper');

	return Object.fromEntries(['sent', 'queued', 'retrying', 'failed', 'expired', 'rejected', 'suppressed', 'cancelled']
		.map((status) =>
		{
			const colour = luminance(`--${status}`);

			return [status, (Math.max(colour, paper) + 0.05) / (Math.min(colour, paper) + 0.05)];
		}));
}

async function look(browser, file, options, found)
{
	const context = await browser.newContext(options);
	const page = await context.newPage();
	const url = `file://${file}`;

	page.on('request', (request) => { if (request.url() !== url) found.fetched.push(request.url()); });
	page.on('console', (message) => found.said.push(message.text()));
	page.on('pageerror', (error) => found.said.push(String(error)));
	page.on('dialog', (dialog) => { found.said.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
	page.setDefaultTimeout(PATIENCE);
	await page.goto(url);
	return [context, page];
}

async function examine(browser, file)
{
	const found = { fetched: [], said: [], axe: {}, contrast: {} };

	for (const colorScheme of ['light', 'dark'])
	{
		const [context, page] = await look(browser, file, { viewport: { width: 1200, height: 900 }, colorScheme }, found);

		await page.evaluate(axe.source);
		await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
		found.axe[colorScheme] = (await page.evaluate(() => window.axe.run(document))).violations
			.filter((fault) => ['serious', 'critical'].includes(fault.impact))
			.map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.target.join(' ')).join(', ')}`);
		found.contrast[colorScheme] = await page.evaluate(contrast);
		if (colorScheme === 'light')
			Object.assign(found, await page.evaluate(read));
		await context.close();
	}

	const [phone, small] = await look(browser, file, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }, found);

	found.overflow = await small.evaluate(() => document.documentElement.scrollWidth - window.screen.width);
	await phone.close();

	const [print, paper] = await look(browser, file, { viewport: { width: 673, height: 1000 }, colorScheme: 'dark' }, found);

	await paper.emulateMedia({ media: 'print' });
	found.printed = await paper.evaluate(() => ({
		numbers: [...document.querySelectorAll('details table')].map((table) => table.checkVisibility() && table.getBoundingClientRect().height > 0),
		paper: getComputedStyle(document.body).backgroundColor,
		overflow: document.documentElement.scrollWidth - window.innerWidth,
	}));
	await print.close();
	return found;
}

async function main(executablePath, ...files)
{
	const browser = await chromium.launch({ executablePath, args: ARGS, timeout: PATIENCE });

	for (const file of files)
		process.stdout.write(`${JSON.stringify(await examine(browser, file))}\n`);
	await browser.close();
}

main(...process.argv.slice(2)).catch((error) =>
{
	process.stderr.write(`${error.stack}\n`);
	process.exit(1);
});
