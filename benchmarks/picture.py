"""Draws a table of ratios as bars, in SVG."""

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

BAR, LABEL, WIDTH, MARGIN = 22, 230, 820, 60
FASTER, SLOWER, LAST = "#3572b0", "#c8553d", "#303030"


def bars(title: str, ratios: Mapping[str, float]) -> str:
    """Return a picture of ratios on a logarithmic scale: bars to the right are above one.

    The last ratio is that of all and is drawn in another colour. What is not finite has no bar.
    """
    known = [math.log2(r) for r in ratios.values() if 0 < r < math.inf]
    low, high = math.floor(min([0.0, *known])), math.ceil(max([1.0, *known]))
    scale = (WIDTH - LABEL - MARGIN) / (high - low)
    height = BAR * (len(ratios) + 3)

    def across(power: float) -> float:
        return LABEL + (power - low) * scale

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="{BAR * 0.8:.0f}" font-size="14">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        x, weight = across(power), 1.5 if power == 0 else 0.4
        lines.append(
            f'<line x1="{x:.1f}" y1="{BAR * 1.4:.0f}" x2="{x:.1f}" y2="{height - BAR}"'
            f' stroke="#808080" stroke-width="{weight}"/>'
        )
        lines.append(
            f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">{2.0**power:g}</text>'
        )
    for i, (name, ratio) in enumerate(ratios.items()):
        y = BAR * (i + 1.5)
        base = f'y="{y + BAR * 0.65:.1f}"'
        lines.append(f'<text x="{LABEL - 8}" {base} text-anchor="end">{escape(name)}</text>')
        if not 0 < ratio < math.inf:
            lines.append(f'<text x="{across(0) + 5:.1f}" {base}>not measured</text>')
            continue
        ends = sorted((across(0), across(math.log2(ratio))))
        colour = LAST if i == len(ratios) - 1 else FASTER if ratio >= 1 else SLOWER
        lines.append(
            f'<rect x="{ends[0]:.1f}" y="{y + 2:.1f}" width="{ends[1] - ends[0]:.1f}"'
            f' height="{BAR - 6}" fill="{colour}"/>'
        )
        lines.append(f'<text x="{ends[1] + 5:.1f}" {base}>{ratio:.2f}</text>')
    return "\n".join([*lines, "</svg>", ""])
