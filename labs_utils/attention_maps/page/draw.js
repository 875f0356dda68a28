// What the views draw with.

const clamp = (value, least, most) => Math.max(least, Math.min(most, value));

function make(tag, properties = {}, ...children) {
  const { aria, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  for (const [name, value] of Object.entries(aria || {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

function setFont({ ink, family }, size = 13, weight = "") {
  ink.font = `${weight} ${size}px ${family}`;
}

// Write a label that fits; a leading ␣ is faint, as it is no letter of the text.
function write({ ink, colours }, label, x, y, { align = "left", colour = colours.text, most = 1e4 } = {}) {
  const text = shortened(ink, label, most);
  const left = x - { left: 0, center: 0.5, right: 1 }[align] * ink.measureText(text).width;
  ink.textAlign = "left";
  ink.textBaseline = "middle";
  ink.fillStyle = colour;
  if (!text.startsWith("␣") || text === "␣") {
    ink.fillText(text, left, y);
    return;
  }
  ink.fillText(text.slice(1), left + ink.measureText("␣").width, y);
  ink.fillStyle = colours.faint;
  ink.fillText("␣", left, y);
}

function shortened(ink, text, most) {
  if (ink.measureText(text).width <= most) return text;
  const letters = Array.from(text);
  while (letters.length > 1 && ink.measureText(letters.join("") + "…").width > most) letters.pop();
  return letters.join("") + "…";
}

function box({ ink }, x, y, w, h, colour, radius = 3) {
  ink.fillStyle = colour;
  ink.beginPath();
  ink.roundRect(x, y, w, h, radius);
  ink.fill();
}

function ring({ ink, colours }, x, y, w, h, colour = colours.accent, radius = 3) {
  ink.strokeStyle = colour;
  ink.lineWidth = 1.5;
  ink.beginPath();
  ink.roundRect(x, y, w, h, radius);
  ink.stroke();
}

// A hairline around a rectangle.
function outline({ ink, colours }, x, y, w, h) {
  ink.strokeStyle = colours.hairline;
  ink.lineWidth = 1;
  ink.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
}
