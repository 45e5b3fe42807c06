/* What is clicked: cells of promises, the choice of a picture, lines to copy, the search. */
(() => {
  document.querySelectorAll(".cell[data-told]").forEach((cell) => cell.addEventListener("click", () => {
    const told = document.getElementById(cell.dataset.told), opening = told.hidden;
    document.querySelectorAll(".told").forEach((one) => { one.hidden = true; });
    document.querySelectorAll(".cell").forEach((one) => one.setAttribute("aria-expanded", "false"));
    told.hidden = !opening;
    cell.setAttribute("aria-expanded", String(opening));
  }));

  const choice = document.getElementById("choice");
  if (choice) choice.addEventListener("change", () => {
    document.querySelectorAll(".shown").forEach((one) => { one.hidden = one.id !== choice.value; });
    const place = document.querySelector(`#${choice.value} .picture`);
    if (place) window.drawPicture(place);
  });

  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const line = document.getElementById(button.dataset.copy);
    try { await navigator.clipboard.writeText(line.textContent); button.textContent = "copied"; } catch {
      const range = document.createRange();
      range.selectNodeContents(line); getSelection().removeAllRanges(); getSelection().addRange(range);
      button.textContent = "selected: press Ctrl-C";
    }
  }));

  const search = document.getElementById("search");
  if (search) search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    document.querySelectorAll("[data-text]").forEach((one) => {
      one.hidden = !words.every((word) => one.dataset.text.includes(word));
      found += !one.hidden;
    });
    document.querySelectorAll("[data-fold]").forEach((fold) => { fold.open = fold.open || words.length > 0; });
    document.querySelectorAll("[data-group]").forEach((group) => { group.hidden = !group.querySelector("[data-text]:not([hidden])"); });
    document.getElementById("found").textContent = words.length ? `${found} found` : "";
  });

  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  reveal();
})();
