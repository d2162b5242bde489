#!/bin/sh
# Certificates for labs and tests, P-256, made by the `openssl` command line. Nothing here is meant for production.
#
#   certificates.sh DIR init
#       makes two certificate authorities: agents-ca.pem, which signs agents, and controllers-ca.pem, which signs
#       controllers (and wrong-ca.pem, which nobody trusts). Keys stand beside them: agents-ca.key and so on.
#   certificates.sh DIR agent NAME [IP...]
#       makes NAME.pem and NAME.key for an agent: DNS name NAME (what a controller verifies: the inventory's name),
#       and these addresses.
#   certificates.sh DIR controller NAME
#       makes NAME.pem and NAME.key for a controller.
#   certificates.sh DIR expired-agent NAME [IP...]      one that ended yesterday
#   certificates.sh DIR expired-controller NAME
#   certificates.sh DIR wrong-agent NAME [IP...]        one that wrong-ca signed
#   certificates.sh DIR wrong-controller NAME
#
# `agent` and the rest run `init` when DIR has no authorities yet. Existing files of the same names are replaced.
set -eu

usage() {
    echo "usage: $0 DIR init | DIR [expired-|wrong-]agent NAME [IP...] | DIR [expired-|wrong-]controller NAME" >&2
    exit 2
}

[ $# -ge 2 ] || usage
directory=$1
action=$2
shift 2
umask 077

new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}

authority() {
    new_key "$directory/$1.key"
    openssl req -x509 -new -key "$directory/$1.key" -sha256 -days 30 -subj "/CN=squall test $1" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -out "$directory/$1.pem"
}

init() {
    mkdir -p "$directory"
    for ca in agents-ca controllers-ca wrong-ca; do
        authority "$ca"
    done
}

# sign AUTHORITY NAME USAGE SUBJECT_ALTERNATIVE_NAMES FIRST_DAY LAST_DAY (openssl's YYMMDDHHMMSSZ)
sign() {
    new_key "$directory/$2.key"
    openssl req -new -key "$directory/$2.key" -sha256 -subj "/CN=$2" -out "$directory/$2.csr"
    scratch=$(mktemp -d "$directory/sign.XXXXXX")
    : >"$scratch/index"
    cat >"$scratch/ca.conf" <<EOF
[ca]
default_ca = lab
[lab]
database = $scratch/index
new_certs_dir = $scratch
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = $3
subjectAltName = $4
EOF
    openssl ca -batch -notext -config "$scratch/ca.conf" -cert "$directory/$1.pem" -keyfile "$directory/$1.key" \
        -in "$directory/$2.csr" -startdate "$5" -enddate "$6" -out "$directory/$2.pem" 2>"$scratch/errors" ||
        { cat "$scratch/errors" >&2; exit 1; }
    rm -rf "$scratch" "$directory/$2.csr"
}

day() {
    date -u -d "$1" +%y%m%d%H%M%SZ
}

[ "$action" = init ] && { init; exit 0; }
[ $# -ge 1 ] || usage
name=$1
shift
[ -e "$directory/wrong-ca.pem" ] || init

first=$(day "-2 days")
last=$(day "+30 days")
case $action in
expired-*) last=$(day "-1 day") ;;
esac
names="DNS:$name"
for address in "$@"; do
    names="$names,IP:$address"
done
case $action in
agent | expired-agent) sign agents-ca "$name" serverAuth "$names" "$first" "$last" ;;
controller | expired-controller) sign controllers-ca "$name" clientAuth "$names" "$first" "$last" ;;
wrong-agent) sign wrong-ca "$name" serverAuth "$names" "$first" "$last" ;;
wrong-controller) sign wrong-ca "$name" clientAuth "$names" "$first" "$last" ;;
*) usage ;;
esac
