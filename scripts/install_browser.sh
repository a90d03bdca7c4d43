#!/usr/bin/env bash
# Get Chromium for the browser tests where that is possible without asking anybody. Never fails:
# without a browser those tests are skipped, and this says so.
set -uo pipefail

as_root=()
if [[ $(id -u) != 0 ]]; then as_root=(sudo -n); fi

has_chromium() {
  command -v chromium >/dev/null
}

may_install() {
  command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null
}

apt_get() {
  timeout 300 "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o DPkg::Lock::Timeout=60 "$@" >/dev/null 2>&1
}

if ! has_chromium && may_install; then
  echo "Installing Chromium for the browser tests ..."
  # The font is for the text of screenshots.
  apt_get update && apt_get install --no-install-recommends --yes chromium fonts-liberation
fi

if ! has_chromium; then
  echo "No 'chromium' on PATH: the browser tests will be skipped."
  echo "To run them, install Chromium, for example with 'sudo apt-get install chromium', and try again."
fi
exit 0
