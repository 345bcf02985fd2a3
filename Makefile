# PGXS build: make && make install; tests: test/run, or make check-unit lint format
MODULE_big = pinterest_capi
EXTENSION = pinterest_capi
PGFILEDESC = "pinterest_capi - send conversions to Pinterest"

srcdir ?= .

# The install script is built.  Update scripts and the install scripts of
# earlier versions are files of the tree, named in DATA.
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(srcdir)/pinterest_capi.control)
DATA_built = pinterest_capi--$(EXTVERSION).sql
DATA =

OBJS = pinterest_capi.o \
	$(sort $(patsubst $(srcdir)/%.c,%.o,$(wildcard $(srcdir)/src/*/*.c)))

# the install script's parts, each of which builds on the ones before
SQL_PARTS = $(addprefix $(srcdir)/src/sql/,tables.sql functions.sql views.sql statistics.sql statistics_day.sql activity.sql quality.sql doctor.sql \
	report_style.sql report_data.sql report.sql privileges.sql)

REGRESS = $(sort $(notdir $(basename $(wildcard $(srcdir)/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)
ISOLATION = $(sort $(notdir $(basename $(wildcard $(srcdir)/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(srcdir)
TAP_TESTS = 1

# Each object's headers, written by the compiler beside the object: x.o has x.d.
# PGXS's own way (autodepend) works only where the server was built with it.
override autodepend = no
DEPENDENCIES = $(OBJS:.o=.d)
EXTRA_CLEAN = $(DEPENDENCIES)
PG_CPPFLAGS = -MMD -MP -I$(srcdir) -I$(srcdir)/src $(shell curl-config --cflags)
# WERROR= for whoever packages it with a compiler that nobody here has seen
WERROR ?= -Werror
PG_CFLAGS = -Wall -Wextra $(WERROR) -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
# PostgreSQL's headers and gcc's options name what clang does not know.
ifneq ($(filter clang% ccc-analyzer,$(notdir $(firstword $(CC)))),)
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-attributes \
	-Wno-ignored-optimization-argument
endif
SHLIB_LINK = $(shell curl-config --libs) -lcrypto -lutf8proc

# What needs no server comes without PGXS, so that it runs where there is none.
SERVERLESS = check-unit lint format
ifneq ($(filter-out $(SERVERLESS),$(or $(MAKECMDGOALS),all)),)
PG_CONFIG ?= pg_config
# Everything here is one translation unit from the JIT's point of view; no
# bitcode is needed, so the build asks for no clang.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
endif

check-unit:
	$(MAKE) -s -C $(srcdir)/test/unit check

lint:
	$(srcdir)/test/lint

format:
	$(srcdir)/test/lint --fix

.PHONY: $(SERVERLESS)

$(DATA_built): $(SQL_PARTS)
	cat $(SQL_PARTS) >$@

# A build outside of the tree has no folders yet.  Absolute names, since VPATH
# would find those of the tree.
OBJ_DIRS = $(sort $(dir $(addprefix $(CURDIR)/,$(OBJS))))
$(OBJS): | $(OBJ_DIRS)
$(OBJ_DIRS):
	mkdir -p $@

-include $(DEPENDENCIES)
