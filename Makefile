# defer: background jobs and cron inside PostgreSQL
#
#   make, make install, make installcheck, make clean
#                         as with any PGXS extension; PG_CONFIG=... chooses the
#                         server.  installcheck wants a running server that has
#                         shared_preload_libraries = 'defer'
#   make demo             the marketplace story on a throwaway server
#   make check            all tests on throwaway servers
#   make check-browser    the dashboard in headless Chromium, which it installs
#   make check-clients    drivers and ORMs, also through PgBouncer, and the workers of clients/, as far
#                         as they can be installed
#   make check-versions   the same on PostgreSQL 15, 17, 18 and 19
#   make check-neighbours regress beside other libraries, one by one and many at once
#   make check-cassert    the tests on a server with assertions, built for it
#   make check-citus      defer and Citus on three servers, where Citus is installed
#   make coverage         the tests' coverage of src/ by gcov; fails if a function is
#                         neither called nor listed with a reason in test/uncovered.txt
#   make sanitize         the tests with UBSan, those of the dashboard with ThreadSanitizer
#   make valgrind         those of what uses shared memory, under valgrind
#   make check-packages   the Debian and RPM packages and the images: built, installed on a
#                         fresh Debian and tried as a new user
#   make dist             the release for PGXN, a zip file; FORMAT=tar.gz: a tar file
#   make image-volume DESTDIR=folder
#                         the files of an extension image, for PostgreSQL 18 and newer
#   make bench            throughput, latency and the like beside other queues
#   make lint             cppcheck and clang-tidy
#   make format           pg_bsd_indent over src/
#
# Everything but the first line works on a machine that has only make, and
# leaves nothing behind: the server is a private copy under /tmp.

TOOLS = demo check check-browser check-clients check-versions check-neighbours check-cassert check-citus \
	check-packages coverage sanitize valgrind bench lint format dist

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

# In another folder: make -f .../Makefile, or make VPATH=... -f .../Makefile
here := $(patsubst %/,%,$(or $(VPATH),$(dir $(firstword $(MAKEFILE_LIST)))))
ifneq ($(here),.)
ifneq ($(wildcard $(here)/src/*.o),)
$(error there is a build in $(here): "make clean" there first)
endif
endif

EXTENSION = defer
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(here)/defer.control)
MODULE_big = defer
PGFILEDESC = "defer - background jobs and cron inside PostgreSQL"

# The library defer_sender has libcurl, and the sender process loads it; defer has not
SENDER_OBJS = $(patsubst $(here)/%.c,%.o,$(sort $(wildcard $(here)/src/transport/*.c))) \
	src/process/sender_library.o src/pure/network_rules.o
SENDER = defer_sender

# From the ground up: a folder knows those before it (tools/check-layers)
FOLDERS = pure pure/cron pure/pg_cron base shmem function table config job task bulk delivery steps workflow alert \
	schedule lifecycle process report import
OBJS = $(patsubst $(here)/%.c,%.o,$(foreach folder,$(FOLDERS), \
	$(filter-out %/sender_library.c,$(sort $(wildcard $(here)/src/$(folder)/*.c)))) \
	$(wildcard $(here)/src/*.c))

# The extension's script is put together from these files of sql/src/, in this order;
# upgrade scripts are kept as they are
SQL_PARTS = schema tables functions_enqueue functions_deliveries functions_alerts \
	functions_inside functions_steps functions_workflows functions_control functions_settings functions_tasks functions_schedules \
	functions_report functions_restore views views_functions views_queues health nodes rights
SCRIPT = sql/defer--$(EXTVERSION).sql
SQL_VIEWS = sql/src/views_functions.sql sql/src/views_queues.sql
DATA = $(filter-out $(SCRIPT),$(patsubst $(here)/%,%,$(sort $(wildcard $(here)/sql/defer--*.sql))))
DATA_built = $(SCRIPT)

# -Wextra, without what PostgreSQL's headers and calling convention set off
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
ifneq ($(filter true 1,$(CI) $(WERROR)),)
PG_CFLAGS += -Werror
endif

# libcurl sends deliveries
CURL_CONFIG ?= curl-config
PG_CPPFLAGS += -I$(here)/src -DDEFER_VERSION='"$(EXTVERSION)"' $(shell $(CURL_CONFIG) --cflags)
CURL_LIBS := $(shell $(CURL_CONFIG) --libs)
ifeq ($(CURL_LIBS),)
$(error $(CURL_CONFIG) not found: install the development package of libcurl (Debian: libcurl4-openssl-dev) or set CURL_CONFIG)
endif

# Other libraries of the server see our entry points and nothing else: up to 15 PGXS
# hides no symbol, and a function of theirs would be called as one of ours
SHLIB_EXPORTS = src/exports.txt
SHLIB_LINK = -lpthread $(if $(filter linux,$(PORTNAME)),-lrt)

REGRESS = $(basename $(notdir $(sort $(wildcard $(here)/test/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(here)/test
ISOLATION = $(basename $(notdir $(sort $(wildcard $(here)/test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(here)/test --outputdir=.

EXTRA_CLEAN = $(SENDER_OBJS) $(SENDER)$(DLSUFFIX) $(SCRIPT) $(SHLIB_EXPORTS:.txt=.list) \
	$(SQL_VIEWS) sql/*.tmp sql/src/*.tmp $(DEPENDENCIES) \
	$(wildcard $(foreach kind,gcno gcda gcov,src/*.$(kind) $(FOLDERS:%=src/%/*.$(kind)) src/transport/*.$(kind))) \
	results regression.diffs regression.out output_iso tmp_check tmp_check_iso log

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) not found: install the server's development package (Debian: postgresql-server-dev-NN) or set PG_CONFIG)
endif
include $(PGXS)

include $(here)/src/cli/Makefile.cli

# LINK.shared has the list of entry points, too
$(SENDER)$(DLSUFFIX): $(SENDER_OBJS) $(SHLIB_EXPORTS:.txt=.list)
	$(LINK.shared) -o $@ $(SENDER_OBJS) $(LDFLAGS) $(LDFLAGS_SL) $(CURL_LIBS) -lpthread

all: $(SENDER)$(DLSUFFIX)
install: install-sender
install-sender: $(SENDER)$(DLSUFFIX) installdirs
	$(INSTALL_SHLIB) $(SENDER)$(DLSUFFIX) '$(DESTDIR)$(pkglibdir)/$(SENDER)$(DLSUFFIX)'
uninstall: uninstall-sender
uninstall-sender:
	rm -f '$(DESTDIR)$(pkglibdir)/$(SENDER)$(DLSUFFIX)'
.PHONY: install-sender uninstall-sender

# What CloudNativePG mounts from an image, and adds to extension_control_path and
# dynamic_library_path (doc/platforms.md): the folders lib and share
.PHONY: image-volume
image-volume: $(MODULE_big)$(DLSUFFIX) $(SENDER)$(DLSUFFIX) $(SCRIPT)
	$(if $(DESTDIR),,$(error image-volume: set DESTDIR to the folder that becomes the image))
	$(if $(filter 15 16 17,$(MAJORVERSION)),$(error image-volume: PostgreSQL $(MAJORVERSION) cannot load extensions from a volume; it needs 18 or newer))
	$(MKDIR_P) '$(DESTDIR)/lib' '$(DESTDIR)/share/extension' '$(DESTDIR)/licenses/defer'
	$(INSTALL_SHLIB) $(MODULE_big)$(DLSUFFIX) $(SENDER)$(DLSUFFIX) '$(DESTDIR)/lib/'
	$(INSTALL_DATA) $(here)/defer.control $(addprefix $(here)/,$(DATA)) $(SCRIPT) '$(DESTDIR)/share/extension/'
	$(INSTALL_DATA) $(here)/LICENSE '$(DESTDIR)/licenses/defer/'

# The compiler writes down which headers an object was made from, beside it
DEPENDENCIES = $(OBJS:.o=.d) $(SENDER_OBJS:.o=.d) $(OBJS:.o=.bc.d) $(CLI_OBJS:.o=.d)
$(sort $(OBJS) $(SENDER_OBJS)): override CPPFLAGS += -MMD -MP -MF $(@:.o=.d)
$(OBJS:.o=.bc): override CPPFLAGS += -MMD -MP -MF $@.d
$(OBJS) $(OBJS:.o=.bc): $(here)/defer.control
-include $(wildcard $(DEPENDENCIES))

# Where there are no folders yet: a build outside of the source
BUILD_FOLDERS = $(addprefix $(CURDIR)/,$(sort $(dir $(OBJS) $(SENDER_OBJS) $(CLI_OBJS) $(SCRIPT) $(SQL_VIEWS))))
$(OBJS) $(OBJS:.o=.bc) $(SENDER_OBJS) $(CLI_OBJS) $(CLI_ASSETS) $(SCRIPT) $(SQL_VIEWS) \
	$(SHLIB_EXPORTS:.txt=.list): | $(BUILD_FOLDERS)
$(BUILD_FOLDERS):
	@$(MKDIR_P) $@

# One text for the options of all functions that enqueue a job
$(SCRIPT): sql/src/script.awk sql/src/enqueue_options.sql.in $(SQL_PARTS:%=sql/src/%.sql) $(here)/defer.control
	{ printf '%s\n\n' '\echo Use "CREATE EXTENSION defer" to load this file. \quit'; \
	  awk -f $(filter %.awk %.sql.in %.sql,$^); } > $@.tmp && mv $@.tmp $@

# One text for the views of functions and for those of queues
$(SQL_VIEWS): sql/src/views_%s.sql: sql/src/views_counts.sql.in
	sed -e '/--@[a-z]*$$/{/--@$*$$/!d;}' -e 's/[[:space:]]*--@$*$$//' -e 's/@one@/$*/g; s/@many@/$*s/g' $< > $@.tmp
	mv $@.tmp $@

clean: clean-unit
.PHONY: clean-unit
clean-unit:
	@for folder in test/unit test/modules; do \
		if [ -f $$folder/Makefile ]; then $(MAKE) --no-print-directory -C $$folder clean; fi; done

endif
