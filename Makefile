# sws - build, install, test.  POSIX make: GNU and BSD alike.
#
#	make			build ./sws; installs nothing
#	make deps run		install what is missing, serve the bundled page
#	make deps test		install what is missing, run the whole suite

PREFIX = /usr/local
SYSCONFDIR = /etc
UNITDIR = $(PREFIX)/lib/systemd/system
CC = cc
CFLAGS = -O2 -g

# TLS=0 and HTTP2=0 leave a protocol and its library out, CRYPT=0 passwords
# (after make clean)
TLS = 1
HTTP2 = 1
CRYPT = 1
DEFS_TLS_0 = -DNO_TLS
LIBS_TLS_1 = -lbearssl
DEFS_HTTP2_0 = -DNO_HTTP2
LIBS_HTTP2_1 = -lnghttp2
DEFS_CRYPT_0 = -DNO_CRYPT
# asked when it links: crypt(3) is in libcrypt, or in the libc, or nowhere,
# which auth.c sees by itself
LIBS_CRYPT_1 = `echo 'int main(void) { return 0; }' | $(CC) $(CFLAGS) \
	$(LDFLAGS) -x c -o /dev/null - -lcrypt 2>/dev/null && echo -lcrypt`
DEFS = $(DEFS_TLS_$(TLS)) $(DEFS_HTTP2_$(HTTP2)) $(DEFS_CRYPT_$(CRYPT))
LIBS = $(LIBS_TLS_$(TLS)) $(LIBS_HTTP2_$(HTTP2)) $(LIBS_CRYPT_$(CRYPT)) \
	$(LDLIBS)
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wwrite-strings -Wpointer-arith -Wcast-qual \
	-Wconversion
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(CFLAGS) $(DEFS)

# lowest first: a file calls only what stands before it
OBJS = log.o metrics.o auth.o glob.o toml.o rules.o conf.o fd.o next.o box.o http.o file.o list.o site.o h2.o tls.o conn.o sws.o

sws: $(OBJS)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(OBJS) $(LIBS)

.SUFFIXES: .c .o
.c.o:
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(OBJS): sws.h
file.o: types.h

# the tools of the tests where a goal needs them
deps:
	@if for goal in $(MAKECMDGOALS) $(.TARGETS); do echo $$goal; done | \
	    grep -Eq '^(test|soak|fuzz|bench)'; then sh test/deps.sh test; \
	else sh test/deps.sh build; fi

run: sws
	./sws --port 8080 www

test: sws
	./test.sh

# the suite on a build with sanitizers, and under valgrind; both take a while
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
sws-asan: $(OBJS)
	$(CC) $(ALL_CFLAGS) -O1 $(SANITIZE) -o $@ $(OBJS:.o=.c) $(LIBS)

test-asan: sws-asan
	SWS=$$PWD/sws-asan SLOW=3 ./test.sh $(WIRE)

# and in the sandbox that kills; the kernel's openat2 is wanted there
test-sandbox: sws sws-musl
	SWS=$$PWD/test/sandboxed ./test.sh $(WIRE)
	PROGRAM=sws-musl SWS=$$PWD/test/sandboxed ./test.sh $(PLAIN)
	SWS=$$PWD/sws-musl ./test.sh box.py

sws-musl: $(OBJS)
	musl-gcc $(ALL_CFLAGS) -static -DNO_TLS -DNO_HTTP2 -o $@ $(OBJS:.o=.c)

test-valgrind: sws
	SWS=$$PWD/test/valgrind SLOW=8 ./test.sh $(WIRE)

# the parts that talk to a running server
WIRE = http1.py pipeline.py h2.py h2_rows.py tls.py listen.py files.py supervisors.py \
	clients.py attack.py lint.py site.py options.py next.py demand.py \
	listing.py reload.py
# of these, those without TLS and HTTP/2
PLAIN = http1.py pipeline.py files.py listen.py

soak: sws
	RACE=600 ./test.sh files.py
	SOAK=1 ./test.sh systemd.py next.py demand.py supervisors.py \
	    listing.py reload.py

fuzz:
	sh fuzz/run.sh 600

bench: sws
	sh bench/h1.sh
	sh bench/h2.sh
	python3 bench/start.py

# after a change of --help; what it makes is committed
completions: sws
	./sws --help | awk -v dir=completions -f completions/make.awk

SHARE = $(DESTDIR)$(PREFIX)/share
install: sws
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 \
	    $(SHARE)/bash-completion/completions \
	    $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	install -m 755 sws $(DESTDIR)$(PREFIX)/bin/sws
	install -m 644 sws.1 $(SHARE)/man/man1/sws.1
	install -m 644 completions/sws.bash \
	    $(SHARE)/bash-completion/completions/sws
	install -m 644 completions/_sws $(SHARE)/zsh/site-functions/_sws
	install -m 644 completions/sws.fish \
	    $(SHARE)/fish/vendor_completions.d/sws.fish
	[ "`uname -s`" != Linux ] || $(MAKE) install-systemd

# nothing is enabled; an environment file that is there is left alone, and
# without rights on it there is none
UNITS = sws.socket sws-http.socket sws.service sws@.socket sws@.service
install-systemd:
	mkdir -p $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/share/sws
	for f in $(UNITS); do \
	    sed 's|/usr/local/bin|$(PREFIX)/bin|; s|/etc/|$(SYSCONFDIR)/|' \
	    systemd/$$f >$(DESTDIR)$(UNITDIR)/$$f && \
	    chmod 644 $(DESTDIR)$(UNITDIR)/$$f || exit 1; \
	done
	for f in rootdir.conf credential.conf; do \
	    sed 's|/usr/local/bin|$(PREFIX)/bin|' systemd/$$f \
	    >$(DESTDIR)$(PREFIX)/share/sws/$$f || exit 1; \
	done
	d=$(DESTDIR)$(SYSCONFDIR)/default; mkdir -p $$d 2>/dev/null; \
	    [ ! -w $$d ] || [ -e $$d/sws ] || \
	    install -m 644 systemd/etc_default_sws $$d/sws

clean:
	rm -f sws sws-asan sws-musl $(OBJS)

.PHONY: deps run test test-asan test-sandbox test-valgrind soak fuzz bench \
	completions install install-systemd clean
