# What is installed besides the program; FSMOE_DATA in the environment names another place.
profilesdir = $(pkgdatadir)/profiles
dist_profiles_DATA = data/profiles/testbed-a.json data/profiles/testbed-b.json
