#!/usr/bin/env bash
# Copies a build to the servers.
set -euo pipefail

readonly TARGET="${1:?usage: deploy TARGET}"
SERVERS=(alpha beta "gamma delta")
declare -A PORTS=([alpha]=22 [beta]=2222)
export DEPLOY_USER=${USER:-deploy}

# Prints a line with the time before it.
log() {
  printf '%s %s\n' "$(date +%H:%M)" "$*" >&2
}

function copy_to {
  local server=$1
  if ! rsync -az --delete build/ "$DEPLOY_USER@$server:$TARGET/"; then
    log "copy to $server failed"
    return 1
  fi
}

check() (
  cd "$TARGET" || exit
  for file in *.conf; do
    case $file in
      *.local.conf) continue ;;
      *) grep -q '^port=' "$file" || log "no port in $file" ;;
    esac
  done
)

cat <<EOF
deploying to ${#SERVERS[@]} servers
EOF

if [[ ${DRY_RUN:-} != 1 ]]; then
  restart() { ssh "$1" systemctl restart app; }
  for server in "${SERVERS[@]}"; do
    copy_to "$server" && restart "$server" || true
  done
fi
