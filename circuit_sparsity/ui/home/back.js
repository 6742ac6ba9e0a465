// A link to the view that this browser had last, as the link in the sidebar noted it.
export default function ({ parentElement }) {
  const link = parentElement.querySelector("a"), said = parentElement.querySelector("span");
  let last = null;
  try {
    last = localStorage.getItem("circuit explorer: last view");
  } catch {} // a browser that keeps nothing
  if (!last || new URL(last).origin !== location.origin) return;
  const { pathname, searchParams: asked } = new URL(last);
  const page = pathname.replace(/^.*\//, "") || "circuit";
  link.href = last;
  link.hidden = false;
  said.textContent = [page, ...["model", "task", "k"].map((part) => asked.get(part))]
    .filter(Boolean).join(" · ");
}
