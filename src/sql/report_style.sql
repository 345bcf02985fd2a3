/*
 * report_style.sql
 *	  How report_html() looks: one style sheet, for light, dark, phone and print.
 *
 * The colours of the statuses keep at least 3:1 to their background, differ in
 * lightness for who can't tell the hues apart, and are never alone: the legend
 * carries the numbers, and each chart has its table.
 */

CREATE FUNCTION pinterest_capi._report_style() RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN $css$
:root {
	color-scheme: light dark;
	--paper: #ffffff; --ink: #1b1f24; --soft: #57606b; --line: #d8dde3; --wash: #f4f6f8;
	--good: #00603f; --warn: #7a5600; --bad: #a83200;
	--sent: #0067a5; --tested: #6a5acd; --queued: #4a8fc0; --retrying: #96700a; --failed: #c03a00;
	--expired: #008066; --rejected: #a8437d; --suppressed: #6b7480; --cancelled: #30363d;
}
@media (prefers-color-scheme: dark) {
	:root {
		--paper: #14171a; --ink: #e7e9ec; --soft: #a3adb8; --line: #30373f; --wash: #1c2126;
		--good: #62d0a2; --warn: #e6bb5c; --bad: #ff9670;
		--sent: #4da3e8; --tested: #b3a6ff; --queued: #a5d0f2; --retrying: #dcae45; --failed: #ff7a4d;
		--expired: #3dbd9d; --rejected: #e58ac0; --suppressed: #8f99a5; --cancelled: #d5dae0;
	}
}
@media print {
	:root {
		--paper: #ffffff; --ink: #000000; --soft: #444c55; --line: #c4cad1; --wash: #f4f6f8;
		--good: #00603f; --warn: #7a5600; --bad: #a83200;
		--sent: #0067a5; --tested: #6a5acd; --queued: #4a8fc0; --retrying: #96700a; --failed: #c03a00;
		--expired: #008066; --rejected: #a8437d; --suppressed: #6b7480; --cancelled: #30363d;
	}
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
	margin: 0; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
	font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif;
}
header, main, footer { max-width: 66rem; margin: 0 auto; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; }
h2 { margin: 0 0 0.25rem; font-size: 1.2rem; line-height: 1.3; font-weight: 650; }
h3 { margin: 2rem 0 0.5rem; font-size: 1rem; font-weight: 650; }
p { margin: 0.25rem 0; max-width: 46rem; }
section { margin-top: 3rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.soft, header p, footer { color: var(--soft); }
header p, footer, .small { font-size: 0.875rem; }
bdi, td, th, li { overflow-wrap: break-word; }

.verdict { margin: 1.75rem 0 0; padding: 1rem 1.25rem; border: 1px solid var(--line); border-left: 6px solid var(--good); border-radius: 6px; background: var(--wash); }
.verdict.warning { border-left-color: var(--warn); }
.verdict.error { border-left-color: var(--bad); }
.verdict strong { font-size: 1.1rem; }
.verdict ul { margin: 0.75rem 0 0; padding: 0; list-style: none; }
.verdict li { padding: 0.5rem 0 0; font-size: 0.9375rem; }
.ok { color: var(--good); } .warning { color: var(--warn); } .error { color: var(--bad); }
.verdict.warning, .verdict.error { color: inherit; }
.pill { display: inline-block; padding: 0 0.55rem; border: 1px solid currentColor; border-radius: 1rem; font-size: 0.8125rem; font-weight: 600; white-space: nowrap; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1px; margin: 1.5rem 0 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.tiles div { padding: 0.875rem 1.25rem; box-shadow: 0 0 0 1px var(--line); }
.tiles dt { font-size: 0.875rem; color: var(--soft); }
.tiles dd { margin: 0; }
.tiles .big { font-size: 1.625rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }

.scroll { position: relative; overflow-x: auto; margin-top: 0.75rem; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--sent); outline-offset: 2px; }
table { width: 100%; border-collapse: collapse; font-size: 0.9375rem; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
#compliance ~ .scroll caption { position: static; width: auto; height: auto; clip-path: none; padding: 0 0 0.25rem; text-align: left; font-weight: 600; font-size: 0.875rem; }
th, td { padding: 0.5rem 0.75rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; font-weight: 400; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: 0.8125rem; font-weight: 600; vertical-align: bottom; white-space: nowrap; }
tbody th { font-weight: 500; }
.n { text-align: right; white-space: nowrap; }
.long { min-width: 14rem; max-width: 34rem; overflow-wrap: anywhere; }
.nil { color: var(--soft); }
.empty { max-width: none; margin-top: 1rem; padding: 1.25rem; border: 1px dashed var(--line); border-radius: 6px; color: var(--soft); }

.chart { display: grid; grid-template-columns: auto minmax(0, 1fr); column-gap: 0.625rem; margin-top: 1.25rem; }
.axis { display: flex; flex-direction: column; justify-content: space-between; height: 196px; color: var(--soft); font-size: 0.75rem; line-height: 16px; text-align: right; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; overflow: visible; }
svg text { fill: var(--soft); font-size: 12px; }
svg line { stroke: var(--line); stroke-width: 1; shape-rendering: crispEdges; }
svg .base { stroke: var(--soft); }
.sent { --c: var(--sent); } .tested { --c: var(--tested); } .queued { --c: var(--queued); } .retrying { --c: var(--retrying); } .failed { --c: var(--failed); }
.expired { --c: var(--expired); } .rejected { --c: var(--rejected); } .suppressed { --c: var(--suppressed); } .cancelled { --c: var(--cancelled); }
rect { fill: var(--c, var(--sent)); }
rect.ground { fill: var(--wash); }
.legend { display: flex; flex-wrap: wrap; gap: 0.375rem 1.5rem; margin: 1rem 0 0; padding: 0; list-style: none; font-size: 0.875rem; }
.legend b { font-weight: 600; font-variant-numeric: tabular-nums; }
.legend i { display: inline-block; width: 0.75rem; height: 0.75rem; margin-right: 0.5rem; border-radius: 2px; background: var(--c); vertical-align: -1px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(14.5rem, 1fr)); gap: 1.5rem 2rem; margin-top: 1.25rem; }
.cards h3 { margin: 0; font-size: 0.9375rem; font-weight: 500; }
.cards p { margin: 0 0 0.375rem; }
.cards .big { font-size: 1.375rem; font-weight: 600; font-variant-numeric: tabular-nums; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--soft); font-size: 0.875rem; width: fit-content; }
footer { margin-top: 3rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }

@media (max-width: 40rem) {
	body { padding: 1.5rem 1rem 3rem; }
	h1 { font-size: 1.4rem; }
	section { margin-top: 2.25rem; }
	.tiles { grid-template-columns: 1fr 1fr; }
	.tiles div { padding: 0.75rem 0.875rem; }
	.tiles div:last-child { grid-column: span 2; }
	.cards { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1.25rem; }
	.long { min-width: 8.5rem; }
	th, td { padding: 0.4375rem 0.5rem; }
}
@media print {
	body { padding: 0; font-size: 10.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
	section { break-inside: auto; margin-top: 1.5rem; }
	h2, h3, caption, thead { break-after: avoid; }
	tr, .chart, .cards > div, .verdict, .tiles { break-inside: avoid; }
	.scroll { overflow: visible; }
	table { font-size: 8pt; }
	th, td { padding: 0.25rem 0.3rem; }
	thead th { font-size: 7.5pt; white-space: normal; }
	.long { min-width: 0; }
	.n { white-space: normal; }
	summary { display: none; }
	details::details-content { content-visibility: visible; block-size: auto; }
}
@page { margin: 16mm; }
$css$;
COMMENT ON FUNCTION pinterest_capi._report_style() IS
	'internal: the style sheet of report_html()';
