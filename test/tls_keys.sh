#!/bin/sh
# tls.c from memory: every form of key and certificate that openssl(1) writes,
# then the engine itself (tls_test.c).  CC and SANITIZE name another build.
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
SANITIZE=${SANITIZE--fsanitize=address,undefined -fno-sanitize-recover=all}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086
if ! "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow \
    -Wconversion -Wcast-qual -Werror -g -O1 $SANITIZE -o "$tmp/tls_test" \
    test/tls_test.c log.c auth.c glob.c toml.c rules.c conf.c \
    -lbearssl -lcrypt >"$tmp/out" 2>&1; then
	echo "FAIL tls_test.c does not build: $(grep -m 3 error "$tmp/out" |
	    tr '\n' ' ')"
	exit 1
fi

cd "$tmp" || exit 1
exec 3>&2 2>ssl.err
pkey() { openssl genpkey -quiet "$@" 2>>ssl.err || openssl genpkey "$@"; }
ec() { pkey -algorithm EC -pkeyopt "ec_paramgen_curve:$1" -out "$2"; }
# self NAME SUBJECT [ALTNAMES]: a certificate for NAME.key
self() {
	openssl req -new -x509 -key "$1.key" -out "$1.crt" -days 30 \
	    -subj "$2" ${3:+-addext "subjectAltName=$3"}
}

ec P-256 p256.key
ec P-384 p384.key
ec P-521 p521.key
ec P-256 names.key
ec P-256 cn.key
ec secp256k1 k256.key
ec P-224 p224.key
pkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2048.key
pkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsab.key
pkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out rsa4096.key
pkey -algorithm RSA -pkeyopt rsa_keygen_bits:4104 -out rsa4104.key
pkey -algorithm RSA -pkeyopt rsa_keygen_bits:512 -out rsa512.key
pkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
    -pkeyopt rsa_keygen_primes:3 -out rsa3.key
pkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.key
pkey -algorithm ED25519 -out ed25519.key
for k in p384 p521 k256 p224 rsa2048 rsab rsa4096 rsa4104 rsa512 rsa3 pss \
    ed25519; do
	self $k "/CN=$k" DNS:any.example
done
self p256 /CN=p256 DNS:localhost,DNS:any.example,IP:127.0.0.1
self names /CN=names-cn.example \
    'DNS:a.example,DNS:*.b.example,IP:::1,email:x@d.example,DNS:c.example'
self cn '/O=x/CN=cn.example'

# other forms of the same keys
openssl rsa -in rsa2048.key -traditional -out rsa.pkcs1
openssl ec -in p256.key -out ec.sec1
{
	openssl ecparam -name prime256v1
	cat ec.sec1
} >ec.params
openssl ec -in p256.key -param_enc explicit -out ec.explicit
openssl ec -in p256.key -no_public -out ec.nopub
sed 's/$/\r/' ec.sec1 >ec.crlf
sed 's/$/\r/' p256.crt >crlf.crt
sed 's/$/\r/' rsa2048.key >rsa.crlf
printf %s "$(cat p256.key)" >ec.noeol
cat p256.key p256.crt >bundle.kc
cat p256.crt cn.crt p256.key >bundle.ck
cat p256.crt ec.params >bundle.params
for n in 1 2 3 4 5 6 7; do cat cn.crt; done >seven.crt
cat p256.crt seven.crt >chain8.crt
cat chain8.crt cn.crt >chain9.crt
{
	echo "Bag Attributes: none"
	openssl x509 -in p256.crt -text
} >text.crt
openssl pkcs8 -topk8 -in p256.key -passout pass:x -out enc.pkcs8
openssl rsa -in rsa2048.key -traditional -aes128 -passout pass:x \
    -out enc.rsa
openssl ec -in p256.key -aes128 -passout pass:x -out enc.ec
cat p256.crt enc.ec >bundle.enc
openssl pkey -in p256.key -outform DER -out ec.der
openssl x509 -in p256.crt -outform DER -out der.crt
: >empty
head -c 100 p256.key >cut.key
head -c 400 p256.crt >cut.crt
head -c 64 p256.crt >cutline.crt
head -n 3 rsa2048.key >cutline.key
sed '3s/./!/' rsa2048.key >bang.key
{	# whole PEM, half a key
	echo "-----BEGIN PRIVATE KEY-----"
	head -c 60 ec.der | base64
	echo "-----END PRIVATE KEY-----"
} >half.key
{
	echo "-----BEGIN CERTIFICATE-----"
	head -c 300 der.crt | base64
	echo "-----END CERTIFICATE-----"
} >half.crt
{	# one bit of the last CRT number
	echo "-----BEGIN RSA PRIVATE KEY-----"
	openssl rsa -in rsa2048.key -traditional -outform DER |
	    python3 -c 'import sys; b = bytearray(sys.stdin.buffer.read()); \
b[-9] ^= 1; sys.stdout.buffer.write(b)' | base64
	echo "-----END RSA PRIVATE KEY-----"
} >bit.key
cat p256.key cn.key >two.key
echo hello >text
mkdir folder
exec 2>&3

# row WANT CERT KEY: WANT is a part of the answer
n=0
row() {
	n=$((n + 1))
	got=$(./tls_test load "$2" "$3" 2>&1)
	case $got in
	*"$1"*)
		case $got in
		loaded | "$2: "* | "$3: "*) ;;
		*) echo "FAIL $2 $3: names no file: $got" ;;
		esac
		echo "ok $2, $3: $1"
		;;
	*) echo "FAIL $2, $3: $(echo "$got" | head -n 5 | tr '\n' ' ')" ;;
	esac
}

row loaded p256.crt p256.key
row loaded p384.crt p384.key
row loaded p521.crt p521.key
row loaded rsa2048.crt rsa2048.key
row loaded rsa4096.crt rsa4096.key
row loaded rsa2048.crt rsa.pkcs1
row loaded rsa2048.crt rsa.crlf
row loaded p256.crt ec.sec1
row loaded p256.crt ec.params
row loaded p256.crt ec.nopub
row loaded p256.crt ec.noeol
row loaded crlf.crt ec.crlf
row loaded bundle.kc bundle.kc
row loaded bundle.ck bundle.ck
row loaded bundle.params bundle.params
row loaded bundle.kc p256.key
row loaded p256.crt bundle.kc
row loaded chain8.crt p256.key
row loaded text.crt p256.key
row loaded names.crt names.key
row loaded cn.crt cn.key
row "chain9.crt: holds more than 8" chain9.crt p256.key
row "none.crt: No such file" none.crt p256.key
row "none.key: No such file" p256.crt none.key
row "empty: is empty" empty p256.key
row "empty: is empty" p256.crt empty
row "folder: not a regular file" p256.crt folder
row "cut.key: is cut off" p256.crt cut.key
row "cutline.key: is cut off" rsa2048.crt cutline.key
row "cut.crt: is cut off" cut.crt p256.key
row "cutline.crt: is cut off" cutline.crt p256.key
row "bang.key: damaged PEM" rsa2048.crt bang.key
row "half.key: damaged" p256.crt half.key
row "half.crt: the certificate cannot be read" half.crt p256.key
row "bit.key: the key is not that" rsa2048.crt bit.key
row "p256.key: holds no certificate" p256.key p256.key
row "p256.crt: holds no private key" p256.crt p256.crt
row "text: holds no certificate" text p256.key
row "text: holds no private key" p256.crt text
row "der.crt: holds no certificate" der.crt p256.key
row "ec.der: holds no private key" p256.crt ec.der
row "two.key: holds more than one" p256.crt two.key
row "enc.pkcs8: the private key is encrypted" p256.crt enc.pkcs8
row "enc.rsa: the private key is encrypted" rsa2048.crt enc.rsa
row "enc.ec: the private key is encrypted" p256.crt enc.ec
row "bundle.enc: the private key is encrypted" bundle.enc bundle.enc
row "ed25519.key: Ed25519" ed25519.crt ed25519.key
row "k256.key: EC key on another curve" k256.crt k256.key
row "p224.key: EC key on another curve" p224.crt p224.key
row "ec.explicit: EC key with a curve of its own" p256.crt ec.explicit
row "rsa4104.key: RSA key of 4104 bits" rsa4104.crt rsa4104.key
row "rsa512.key: RSA key of 512 bits" rsa512.crt rsa512.key
row "rsa3.key: RSA key of more than two" rsa3.crt rsa3.key
row "pss.key: RSA-PSS" pss.crt pss.key
row "p384.key: the key is not that of the certificate in p256" p256.crt p384.key
row "cn.key: the key is not that" p256.crt cn.key
row "rsab.key: the key is not that" rsa2048.crt rsab.key
row "rsa2048.key: the key is not that" p256.crt rsa2048.key
row "p256.key: the key is not that" rsa2048.crt p256.key
[ $n -gt 50 ] || echo "FAIL only $n rows: $(tail -n 1 ssl.err)"

./tls_test run . 2>run.err || {
	rc=$?
	grep -q 'ERROR: \|runtime error' run.err &&
	    echo "FAIL tls_test: $(grep -m 3 \
	    'ERROR: \|runtime error\|SUMMARY' run.err | tr '\n' ' ')"
	[ $rc -eq 1 ] || echo "FAIL tls_test ended with $rc"
}
