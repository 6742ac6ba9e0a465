#!/bin/sh
# A Chromium for the browser tests: one that is here, Debian's, or Playwright's own download.
bin=$1
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
"$bin/python" - <<'PY' && exit 0
import os, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    sys.exit(not os.path.exists(playwright.chromium.executable_path))
PY
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && apt-get install -y -qq chromium fonts-dejavu-core >/dev/null && exit 0
fi
"$bin/playwright" install chromium && exit 0
echo "LOUD SKIP: no Chromium could be had here, so the browser tests will be skipped" >&2
exit 0
