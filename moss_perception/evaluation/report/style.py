"""How the page looks: colours, and its style sheet for screens wide and narrow, and for paper."""

HELD, FAILED = '#1c7c54', '#b8352c'
INK, MUTED, LINE, PAPER = '#1b2530', '#5a6776', '#d8dee6', '#ffffff'
# The first is the reference's. They differ in lightness too, and so in grey.
DOMAINS = ('#1d4f91', '#d9822b', '#6b3fa0', '#0f8b8d', '#a03a5c', '#6d7b1e', '#4a4a4a')

SHEET = f"""
:root {{ color-scheme: light; --ink: {INK}; --muted: {MUTED}; --line: {LINE};
  --held: {HELD}; --failed: {FAILED}; --accent: {DOMAINS[0]}; --warn: #8a5a00; }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }}
body {{ margin: 0 auto; max-width: 66rem; padding: 1.6rem 1.4rem 4rem; color: var(--ink);
  background: {PAPER}; line-height: 1.55; overflow-wrap: break-word;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  "DejaVu Sans", sans-serif; }}
h1 {{ font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }}
h2 {{ font-size: 1.25rem; margin: 2.8rem 0 .6rem; padding-top: .7rem;
  border-top: 1px solid var(--line); }}
h3 {{ font-size: 1.02rem; margin: 1.6rem 0 .3rem; }}
p, li {{ max-width: 46rem; }}
p {{ margin: .5rem 0; }}
ul {{ margin: .4rem 0; padding-left: 1.2rem; }}
a {{ color: var(--accent); }}
code {{ font: .86em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
.sub, .note, figcaption {{ color: var(--muted); font-size: .86rem; line-height: 1.45; }}
.sub {{ margin: 0; }}
nav {{ margin: 1rem 0 0; font-size: .88rem; display: flex; flex-wrap: wrap; gap: .25rem 1rem; }}
nav a {{ text-decoration: none; }} nav a:hover {{ text-decoration: underline; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(15.5rem, 1fr));
  gap: .9rem; margin: 1.1rem 0; }}
.card {{ border: 1px solid var(--line); border-top: .25rem solid var(--colour);
  padding: .8rem 1rem; border-radius: .35rem; }}
.card h3 {{ margin: 0; display: flex; justify-content: space-between; gap: .6rem; }}
.card h3 small {{ font-weight: 400; color: var(--muted); }}
.card .big {{ font-size: 2.1rem; line-height: 1.15; font-weight: 650; margin: .35rem 0 0;
  font-variant-numeric: tabular-nums; }}
.card .big.undefined {{ font-size: 1.15rem; color: var(--muted); font-weight: 500; }}
.card dl {{ display: grid; grid-template-columns: 1fr auto; gap: .1rem .8rem; margin: .6rem 0 0;
  font-size: .88rem; }}
.card dt {{ color: var(--muted); }}
.card dd {{ margin: 0; text-align: right; font-variant-numeric: tabular-nums; }}
.box {{ border: 1px solid var(--line); border-left: .3rem solid var(--accent);
  border-radius: .25rem; padding: .6rem 1rem; margin: 1.1rem 0; }}
.box h2, .box h3 {{ margin: 0; padding: 0; border: 0; font-size: 1.05rem; }}
.box.warn {{ border-left-color: #d99a1c; background: #fffaf0; }}
.box.met {{ border-left-color: var(--held); background: #f3faf6; }}
.box.short {{ border-left-color: var(--failed); background: #fdf4f3; }}
.scroll {{ overflow-x: auto; margin: .8rem 0; }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .38rem .8rem; border-bottom: 1px solid var(--line); vertical-align: top;
  text-align: right; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
td {{ white-space: nowrap; }}
td.text, th.text {{ text-align: left; white-space: normal; }}
tbody th {{ min-width: 9rem; }}
thead th {{ border-bottom: 2px solid var(--ink); font-weight: 600; white-space: nowrap; }}
tbody th {{ font-weight: 500; }}
.ci, .why {{ display: block; color: var(--muted); font-size: .8rem; }}
.why {{ white-space: normal; min-width: 8rem; }}
.hint {{ display: block; color: var(--muted); font-size: .8rem; font-weight: 400;
  max-width: 22rem; }}
.held {{ color: var(--held); font-weight: 600; }}
.failed {{ color: var(--failed); font-weight: 600; }}
.figures {{ display: grid; grid-template-columns: repeat(2, 1fr); gap: 1.2rem 1.8rem;
  margin: 1rem 0; align-items: start; }}
.figures.three {{ grid-template-columns: repeat(3, 1fr); }}
.column {{ display: grid; gap: 1.2rem; }}
figure {{ margin: 0; }}
figure > img {{ width: 100%; height: auto; display: block; }}
.strip {{ border: 1px solid var(--line); border-radius: .35rem; padding: .8rem 1rem 1rem;
  margin: .9rem 0; }}
.strip h3 {{ margin: 0; }}
.reel {{ display: grid; grid-template-columns: 2.2fr 1fr; gap: 1.2rem; margin-top: .6rem; }}
.frames {{ display: grid; grid-template-columns: repeat(6, 1fr); gap: .5rem;
  align-content: start; }}
.frames:only-child {{ grid-column: 1 / -1; }}
.frame {{ position: relative; margin: 0; }}
.frame img, .frame .none {{ display: block; width: 100%; border-radius: .2rem; background: #e9edf2;
  aspect-ratio: var(--aspect); object-fit: cover; }}
.frame .none {{ display: grid; place-items: center; color: var(--muted); font-size: .75rem;
  text-align: center; }}
.frame .over {{ position: absolute; left: 0; top: 0; padding: .05rem .4rem;
  border-radius: .2rem 0; background: rgba(12, 18, 26, .78); color: #fff; font-size: .8rem;
  font-weight: 600; font-variant-numeric: tabular-nums; }}
.bar {{ height: .45rem; background: #e3e8ee; margin-top: .25rem; position: relative;
  border-radius: .1rem; overflow: hidden; }}
.bar i {{ display: block; height: 100%; background: var(--accent); }}
.bar::after {{ content: ""; position: absolute; left: 50%; top: 0; width: 1px; height: 100%;
  background: var(--ink); }}
.frame figcaption {{ font-size: .74rem; text-align: center; }}
.frame.decision img {{ outline: .18rem solid var(--ink); outline-offset: -.06rem; }}
.frame.decision figcaption {{ color: var(--ink); font-weight: 600; }}
@media (max-width: 40rem) {{
  body {{ padding: 1rem .9rem 3rem; }}
  h1 {{ font-size: 1.4rem; }}
  .figures, .figures.three, .reel {{ grid-template-columns: 1fr; }}
  .frames {{ grid-template-columns: repeat(3, 1fr); }}
  .strip {{ padding: .7rem; }}
  .hint {{ max-width: none; }}
  /* A row's name takes a line of its own, and its figures share the next. */
  table {{ display: block; font-size: .82rem; }} thead, tbody {{ display: block; }}
  tr {{ display: flex; flex-wrap: wrap; border-bottom: 1px solid var(--line); }}
  thead tr {{ border-bottom: 2px solid var(--ink); }}
  tr > * {{ flex: 1 1 0; min-width: 0; border: 0; padding: .15rem .2rem .3rem; }}
  thead th {{ border: 0; white-space: normal; line-height: 1.25; }}
  th:first-child {{ flex-basis: 100%; padding: .35rem 0 0; }}
  thead th:first-child {{ display: none; }}
  .ci, .why {{ white-space: normal; font-size: .74rem; min-width: 0; }}
  td {{ white-space: normal; }}
  .dense thead {{ display: none; }}
  .dense td {{ flex: 1 0 21%; text-align: left; }}
  .dense.wide td {{ flex-basis: 30%; }}
  .dense td.text {{ flex-basis: 100%; }}
  .dense td::before {{ content: attr(data-label); display: block; color: var(--muted);
    font-size: .72rem; }}
}}
@media print {{
  @page {{ size: A4; margin: 14mm 13mm; }}
  * {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
  html {{ font-size: 9.5pt; }}
  body {{ max-width: none; padding: 0; }}
  nav {{ display: none; }}
  h1 {{ font-size: 17pt; }} h2 {{ font-size: 13pt; margin-top: 16pt; }}
  h2, h3, .note.above {{ break-after: avoid; }}
  .card, .box, .strip, figure, tr {{ break-inside: avoid; }}
  thead {{ display: table-header-group; }}
  .scroll {{ overflow: visible; }} table {{ font-size: .9rem; }}
  .figures, .figures.three {{ grid-template-columns: repeat(2, 1fr); }}
  .reel {{ grid-template-columns: 2.2fr 1fr; }}
  .frames {{ grid-template-columns: repeat(6, 1fr); }}
  a {{ color: inherit; text-decoration: none; }}
}}
""".strip()
