// Query heads that share the keys and values of one key-value head: they stand together, with a gap between groups.

const GROUP_GAP = 10;

const groupOf = ({ shared }, head) => Math.floor(head / shared);

const isGrouped = ({ shared }) => shared > 1;

// Whether the head at this place begins a group, left of which there is a gap.
const startsGroup = ({ shared, heads }, place) =>
  shared > 1 && place > 0 && groupOf({ shared }, heads[place]) !== groupOf({ shared }, heads[place - 1]);

// How far the gaps have moved the head at this place, in gaps.
const gapsBefore = (stack, place) =>
  stack.heads.slice(0, place + 1).filter((_, at) => startsGroup(stack, at)).length;

const gapsIn = (stack) => gapsBefore(stack, stack.heads.length - 1);

// The places of the first and the last head of every group.
function groupsOf(stack) {
  const groups = [];
  stack.heads.forEach((_, place) => {
    if (!place || startsGroup(stack, place)) groups.push([place, place]);
    groups.at(-1)[1] = place;
  });
  return groups;
}

// The other heads that use the keys of this one, in words; "" where it has its own.
function sharesText({ shared }, head) {
  if (shared < 2) return "";
  const first = shared * groupOf({ shared }, head);
  const others = Array.from({ length: shared }, (_, i) => first + i).filter((one) => one !== head);
  return `shares keys with ${others.join(", ")}`;
}

// A bracket over the heads of each group: from(place) is the left edge of a head, to(place) its right edge.
function drawGroups(figure, stack, y, from, to) {
  if (!isGrouped(stack)) return;
  const { ink, colours } = figure;
  ink.strokeStyle = colours.faint;
  ink.lineWidth = 1;
  for (const [first, last] of groupsOf(stack)) {
    const [left, right] = [Math.round(from(first)) + 0.5, Math.round(to(last)) - 0.5];
    ink.beginPath();
    ink.moveTo(left, y + 4);
    ink.lineTo(left, y + 0.5);
    ink.lineTo(right, y + 0.5);
    ink.lineTo(right, y + 4);
    ink.stroke();
  }
}
