#!/usr/bin/env bash
# Makes sure that the tests have a Chromium, and npm for the real tokenizers and TypeScript; with the argument npm, only
# that. Installs them where it may (apt, as root); elsewhere says what to install.
set -euo pipefail

has_browser() {
  [ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null 2>&1
}

missing=()
[ "${1:-}" = npm ] || has_browser || missing+=(chromium fonts-dejavu-core)
command -v npm >/dev/null 2>&1 || missing+=(npm)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  exit 0
fi
echo "The tests need: ${missing[*]}. Install them with your package manager (Debian and Ubuntu: sudo apt-get install" \
  "${missing[*]})$([ "${1:-}" = npm ] || echo ', or set CHROMIUM to the path of a Chromium or Chrome')." >&2
exit 1
