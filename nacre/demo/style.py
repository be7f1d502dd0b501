"""How the report looks: one style sheet, light and dark, from a phone to a wide screen.

The colours are blue, vermilion and bluish green after Okabe and Ito's palette, which people with
any colour vision can tell apart.
"""

from __future__ import annotations

__all__ = ["COLOURS", "STYLE"]

COLOURS = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2127; --quiet: #5c6470; --rule: #dfe2e6;
  --blue: #0072b2; --vermilion: #c84e00; --green: #007a5a; --tile: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --card: #1c2026; --ink: #e8eaed; --quiet: #a0a8b3; --rule: #343a43;
    --blue: #56b4e9; --vermilion: #f08a3c; --green: #3fc79a; --tile: #e8eaed;
  }
}
"""

STYLE = (
    COLOURS
    + """* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; }
p { max-width: 44rem; margin: .4rem 0 1rem; }
.lead { font-size: 1.1rem; }
.quiet, figcaption, th { color: var(--quiet); }
code, pre { font: .9em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre {
  background: var(--card); border: 1px solid var(--rule); border-radius: .6rem;
  padding: 1rem; overflow-x: auto;
}
.facts { display: grid; gap: .75rem; padding: 0; margin: 1.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
.facts div { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem;
  padding: .75rem 1rem; }
.facts dt { color: var(--quiet); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.pair { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem;
  padding: 1rem; margin: 0; }
.card h3 { margin: 0 0 .5rem; font-size: 1rem; }
svg { display: block; width: 100%; height: auto; }
svg.matrix { max-width: 34rem; margin: 0 auto; }
svg.chart { max-width: 36rem; margin: 0 auto; }
svg text { fill: var(--ink); font-size: 14px; font-variant-numeric: tabular-nums; }
svg .tick, svg .axis { fill: var(--quiet); font-size: 13px; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
svg .dot { stroke: var(--card); stroke-width: 1.5; }
svg .line.train { stroke: var(--blue); }
svg .dot.train, svg .end.train { fill: var(--blue); }
svg .line.validation { stroke: var(--vermilion); stroke-dasharray: 6 4; }
svg .dot.validation, svg .end.validation { fill: var(--vermilion); }
svg .dot.test, svg .end.test { fill: var(--green); }
svg .end { font-weight: 600; }
svg .class, svg .count { text-anchor: middle; }
svg .class { font-weight: 600; }
svg .cell { stroke: var(--rule); stroke-width: 1; }
svg .cell.right { fill: var(--blue); }
svg .cell.wrong { fill: var(--vermilion); }
.digits { display: grid; gap: .75rem; padding: 0; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); }
.digits figure { margin: 0; padding: .6rem; text-align: center; background: var(--card);
  border: 1px solid var(--rule); border-radius: .6rem; }
.digits img { width: 84px; height: 84px; image-rendering: pixelated; border-radius: .3rem;
  background: var(--tile); }
.digits figcaption { font-size: .82rem; line-height: 1.35; margin-top: .35rem; }
.digits b { color: var(--ink); }
.digits .misread { color: var(--vermilion); font-weight: 700; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { font-weight: 400; width: 11rem; min-width: 7rem; }
tr:last-child th, tr:last-child td { border-bottom: 0; }
"""
)
