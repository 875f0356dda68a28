// The words of a query: Chinese is written without spaces, and is cut where the browser knows how.
function splitQuery(query) {
  const words = query.match(/[\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu) ?? [];
  if (!Intl.Segmenter) return words;
  const cut = new Intl.Segmenter("zh", { granularity: "word" });
  return words.flatMap((word) => {
    if (!/\p{Script=Han}/u.test(word)) return [word];
    const parts = [...cut.segment(word)].map((part) => part.segment).filter((part) => part.length > 1);
    return parts.length ? parts : [word];
  });
}
