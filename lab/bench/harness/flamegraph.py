"""Folded stacks drawn as an SVG that needs no script: hover shows the name and the share."""
import html

from . import profile

WIDTH, ROW, FONT = 1400, 17, 11
# A box narrower than this many pixels is not drawn: it could not be seen.
LEAST = 0.4
# Pixels of a letter, to cut names to their boxes.
LETTER = 6.6


class Box:
    def __init__(self):
        self.samples, self.children = 0, {}


def tree(lines):
    root = Box()
    for line in lines:
        stack, _, n = line.rstrip("\n").rpartition(" ")
        n = int(n)
        at = root
        at.samples += n
        for frame in stack.split(";"):
            at = at.children.setdefault(frame, Box())
            at.samples += n
    return root


def colour(name):
    """Kernel blue, our own crates green, cryptography red, everything else orange."""
    if any(w in name for w in ("aes", "gcm", "chacha", "poly1305", "aws_lc")):
        return "#e06060"
    if "netflow" in name:
        return "#70b870"
    if "::" in name or name.startswith("["):
        return "#e0a050"
    return "#80a8d8"


def boxes(box, x, depth, per_sample, out):
    deepest = depth
    for name, child in sorted(box.children.items()):
        width = child.samples * per_sample
        if width >= LEAST:
            out.append((x, depth, width, name, child.samples))
            deepest = max(deepest, boxes(child, x, depth + 1, per_sample, out))
        x += width
    return deepest


def svg(lines, title):
    root = tree(lines)
    out = []
    depth = boxes(root, 0.0, 0, WIDTH / max(1, root.samples), out)
    height = (depth + 3) * ROW
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="{FONT}">',
             f'<rect width="100%" height="100%" fill="#fff"/><text x="6" y="{ROW - 4}">{html.escape(title)}</text>']
    for x, level, width, name, samples in out:
        y = height - (level + 1) * ROW - 4
        share = 100 * samples / root.samples
        fits = int(width / LETTER)
        label = html.escape(name[:fits]) if fits >= 3 else ""
        parts.append(f'<g><title>{html.escape(name)}: {share:.2f} %, {samples} samples</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
                     f'height="{ROW - 1}" fill="{colour(name)}"/><text x="{x + 2:.1f}" y="{y + ROW - 5}">{label}</text></g>')
    return "\n".join(parts + ["</svg>\n"])


def draw(spec, topo, out, secs):
    stacks = out.rsplit(".", 1)[0] + ".folded"
    samples = profile.flames(spec, topo, stacks, secs)
    with open(stacks) as f, open(out, "w") as image:
        image.write(svg(f, f"{spec}, {topo}: CPU of the daemons under one TCP stream, {samples} samples at {profile.HERTZ} Hz"))
