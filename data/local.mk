# The profiles of the paper's testbeds, which are built in (src/cost/local.mk), for people to read.
profilesdir = $(pkgdatadir)/profiles
dist_profiles_DATA = data/profiles/testbed-a.json data/profiles/testbed-b.json
