# defer: background jobs and cron inside PostgreSQL
#
#   make, make install, make installcheck, make clean
#                         as with any PGXS extension; PG_CONFIG=... chooses the
#                         server.  installcheck wants a running server that has
#                         shared_preload_libraries = 'defer'
#   make demo             the marketplace story on a throwaway server
#   make check            all tests on throwaway servers
#   make check-browser    the dashboard in headless Chromium, which it installs
#   make check-versions   the same on PostgreSQL 15, 17 and 18
#   make coverage         the tests' coverage of src/ by gcov; fails if a function is
#                         neither called nor listed with a reason in test/uncovered.txt
#   make sanitize         the tests with UBSan
#   make valgrind         those of what uses shared memory, under valgrind
#   make bench            throughput, latency and the like beside other queues
#   make lint             cppcheck and clang-tidy
#   make format           pg_bsd_indent over src/
#
# Everything but the first line works on a machine that has only make, and
# leaves nothing behind: the server is a private copy under /tmp.

TOOLS = demo check check-browser check-versions coverage sanitize valgrind bench lint format

ifneq ($(filter $(TOOLS),$(MAKECMDGOALS)),)

# These come before PGXS, which may not be installed yet (and PGXS has a
# "check" of its own, which only says that it cannot).
.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:

$(filter $(TOOLS),$(MAKECMDGOALS)):
	@tools/$@

$(filter-out $(TOOLS),$(MAKECMDGOALS)):
	@+$(MAKE) --no-print-directory $@

else

EXTENSION = defer
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" defer.control)
MODULE_big = defer
PGFILEDESC = "defer - background jobs and cron inside PostgreSQL"
FOLDERS = pure pure/cron pure/pg_cron base shmem function table config job delivery alert \
	schedule lifecycle process report import
OBJS = src/defer.o $(patsubst %.c,%.o,$(sort $(wildcard $(FOLDERS:%=src/%/*.c))))

# The extension's script is put together from these files of sql/src/, in this order;
# upgrade scripts are kept as they are
SQL_PARTS = schema tables functions_enqueue functions_deliveries functions_alerts \
	functions_inside functions_control functions_settings functions_schedules \
	functions_report functions_restore views views_functions views_queues health rights
DATA = $(filter-out sql/defer--$(EXTVERSION).sql,$(sort $(wildcard sql/defer--*.sql)))
DATA_built = sql/defer--$(EXTVERSION).sql

# -Wextra, without what PostgreSQL's headers and calling convention set off
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
ifneq ($(filter true 1,$(CI) $(WERROR)),)
PG_CFLAGS += -Werror
endif

# libcurl sends deliveries
CURL_CONFIG ?= curl-config
PG_CPPFLAGS += -I$(srcdir)/src $(shell $(CURL_CONFIG) --cflags)
CURL_LIBS := $(shell $(CURL_CONFIG) --libs)
ifeq ($(CURL_LIBS),)
$(error $(CURL_CONFIG) not found: install the development package of libcurl (Debian: libcurl4-openssl-dev) or set CURL_CONFIG)
endif

# From 16 on PGXS hides our symbols from other libraries.  Before, at least
# make sure that we call our own.
comma := ,
SHLIB_LINK = $(CURL_LIBS) -lpthread $(if $(filter linux,$(PORTNAME)),-lrt) $(if $(filter linux,$(PORTNAME)),$(if $(filter 14 15,$(MAJORVERSION)),-Wl$(comma)-Bsymbolic))

# expected/ is at the top: pg_regress up to 15 looks for it in --outputdir, from
# 16 on in --expecteddir, both "."
REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=.

EXTRA_CLEAN = $(wildcard sql/defer--$(EXTVERSION).sql sql/src/views_functions.sql sql/src/views_queues.sql) \
	$(wildcard $(foreach kind,gcno gcda gcov,src/*.$(kind) $(FOLDERS:%=src/%/*.$(kind)))) \
	results regression.diffs regression.out output_iso tmp_check tmp_check_iso log

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) not found: install the server's development package (Debian: postgresql-server-dev-NN) or set PG_CONFIG)
endif
include $(PGXS)

include src/cli/Makefile.cli

$(OBJS): $(wildcard $(FOLDERS:%=src/%/*.h))

sql/defer--$(EXTVERSION).sql: $(SQL_PARTS:%=sql/src/%.sql) defer.control
	{ printf '%s\n\n' '\echo Use "CREATE EXTENSION defer" to load this file. \quit'; \
	  cat $(filter %.sql,$^); } > $@.tmp && mv $@.tmp $@

# One text for the views of functions and for those of queues
sql/src/views_functions.sql sql/src/views_queues.sql: sql/src/views_%s.sql: sql/src/views_counts.sql.in
	sed -e '/--@[a-z]*$$/{/--@$*$$/!d;}' -e 's/[[:space:]]*--@$*$$//' -e 's/@one@/$*/g; s/@many@/$*s/g' $< > $@.tmp
	mv $@.tmp $@

clean: clean-unit
.PHONY: clean-unit
clean-unit:
	@for folder in test/unit test/modules; do \
		if [ -f $$folder/Makefile ]; then $(MAKE) --no-print-directory -C $$folder clean; fi; done
	rm -f sql/*.tmp sql/src/*.tmp

endif
