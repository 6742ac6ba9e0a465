// The address of the present view, which follows it, and a button that copies it.
export default function ({ parentElement }) {
  const field = parentElement.querySelector("input");
  const button = parentElement.querySelector("button");
  const said = parentElement.querySelector("[role=status]");
  const follow = () => {
    if (field.value !== location.href) {
      field.value = field.title = location.href;
      said.textContent = "";
      remember();
    }
  };
  button.onclick = async () => {
    follow();
    said.textContent = (await copy(field)) ? "Copied." : "Press Ctrl+C to copy what is marked.";
  };
  field.onfocus = () => field.select();
  follow();
  const timer = setInterval(follow, 300); // an address that a script writes tells nobody
  return () => clearInterval(timer);
}

// For the first page, which offers to go on there.
function remember() {
  if (location.pathname.endsWith("/home")) return;
  try {
    localStorage.setItem("circuit explorer: last view", location.href);
  } catch {} // a browser that keeps nothing
}

// Browsers hand out the clipboard on secure addresses only; elsewhere the old command may work.
async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}
