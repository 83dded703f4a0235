# sws - build, install, test.  POSIX make: GNU and BSD alike.
#
#	make			build ./sws; installs nothing
#	make deps run		install what is missing, serve the bundled page
#	make deps test		install what is missing, run the whole suite

PREFIX = /usr/local
CC = cc
CFLAGS = -O2 -g

# TLS=0 and HTTP2=0 leave a protocol and its library out (after make clean)
TLS = 1
HTTP2 = 1
DEFS_TLS_0 = -DNO_TLS
LIBS_TLS_1 = -lbearssl
DEFS_HTTP2_0 = -DNO_HTTP2
LIBS_HTTP2_1 = -lnghttp2
DEFS = $(DEFS_TLS_$(TLS)) $(DEFS_HTTP2_$(HTTP2))
LIBS = $(LIBS_TLS_$(TLS)) $(LIBS_HTTP2_$(HTTP2)) $(LDLIBS)
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wwrite-strings -Wpointer-arith -Wcast-qual \
	-Wconversion
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(CFLAGS) $(DEFS)

# lowest first: a file calls only what stands before it
OBJS = log.o conf.o fd.o next.o box.o http.o file.o site.o h2.o tls.o conn.o sws.o

sws: $(OBJS)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(OBJS) $(LIBS)

.SUFFIXES: .c .o
.c.o:
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(OBJS): sws.h
file.o: types.h

deps:
	@for goal in $(MAKECMDGOALS) $(.TARGETS); do echo $$goal; done | \
	    grep -q '^test$$' && sh test/deps.sh test || sh test/deps.sh build

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

test-valgrind: sws
	SWS=$$PWD/test/valgrind SLOW=8 ./test.sh $(WIRE)

# the parts that talk to a running server
WIRE = http1.py pipeline.py h2.py h2_rows.py tls.py listen.py files.py supervisors.py clients.py

soak: sws
	RACE=600 ./test.sh files.py

fuzz:
	sh fuzz/run.sh 600

bench: sws
	sh bench/h1.sh
	sh bench/h2.sh

install: sws
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 sws $(DESTDIR)$(PREFIX)/bin/sws
	install -m 644 sws.1 $(DESTDIR)$(PREFIX)/share/man/man1/sws.1

clean:
	rm -f sws sws-asan $(OBJS)

.PHONY: deps run test test-asan test-valgrind soak fuzz bench install clean
