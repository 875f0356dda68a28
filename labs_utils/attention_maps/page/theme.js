// Light or dark, and the colours of either: style.css names them, the canvas reads them from there.

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const fade = (hex, alpha) => `rgba(${rgb(hex).join(",")},${alpha})`;
// Small weights count: colour follows the square root.
const shade = (weight) => Math.round(255 * Math.sqrt(clamp(weight, 0, 1)));
const heat = (ramp, weight) => `rgb(${ramp[shade(weight)].join(",")})`;

// Text on a box shaded by weight: dark on light and light on dark, whichever reads.
function onHeat(ramp, weight) {
  const [r, g, b] = ramp[shade(weight)];
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10151d" : "#ffffff";
}

// A sandboxed frame can't ask for the theme. Its host makes it a little higher where it is dark; by itself it asks the system.
function hostIsDark(page) {
  if (window.parent === window) return matchMedia("(prefers-color-scheme: dark)").matches;
  return innerHeight > page.height + page.dark_extra / 2;
}

function setTheme(figure) {
  const name = figure.state.theme ?? (hostIsDark(figure.page) ? "dark" : "light");
  if (document.documentElement.dataset.theme === name) return;
  document.documentElement.dataset.theme = name;
  readColours(figure);
}

function readColours(figure) {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = "background panel hairline text muted faint line accent positive negative".split(" ");
  figure.colours = Object.fromEntries(names.map((name) => [name, value(name)]));
  const stops = value("ramp").split(/\s+/).map(rgb);
  figure.ramp = Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((one, c) => Math.round(one + (stops[low + 1][c] - one) * (at - low)));
  });
  figure.pictures.clear();
}
