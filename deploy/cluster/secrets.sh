#!/bin/sh
# Makes what the portals of a cluster share and nobody else may know, in a new folder:
#   secrets.sh FOLDER [TUNNEL] [DOMAIN]
#     cluster.key      whoever has it is a portal
#     redis-password   of the registry
#     users.json       who may connect, and as what: at first one tunnel, whose id is its bridge's secret
# TUNNEL: its id, a UUID; a fresh one without. DOMAIN: below it are the hostnames of tunnels, gost.local without.
set -eu
folder=${1:-}
[ -n "$folder" ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
tunnel=${2:-$(cat /proc/sys/kernel/random/uuid)}
domain=${3:-gost.local}

random() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

umask 077
mkdir "$folder"
random >"$folder/cluster.key"
random >"$folder/redis-password"
cat >"$folder/users.json" <<END
{
  "reverse": {
    "portals": [
      {
        "tag": "portal",
        "domain": "*.tunnel.example",
        "hostDomain": "$domain",
        "claims": [ { "user": "first", "tunnels": ["$tunnel"] } ]
      }
    ]
  },
  "inbounds": [
    {
      "tag": "tunnel",
      "port": 8421,
      "protocol": "vmess",
      "settings": { "clients": [ { "id": "$tunnel", "email": "first" } ] },
      "streamSettings": {
        "network": "ws",
        "wsSettings": {
          "path": "/",
          "trustedProxies": ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
        }
      }
    }
  ]
}
END
# The image runs as this user.
[ "$(id -u)" != 0 ] || chown -R 65532:65532 "$folder"
echo "A bridge of it:  v2c bridge --to ws://$domain:80 --tunnel $tunnel file:."
