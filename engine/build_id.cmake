# Writes OUT, a header with EX_BUILD_ID: VERSION and a digest of HEADERS (separated by commas). By it
# a program and a module that hand each other what these headers describe know that they agree.
cmake_minimum_required(VERSION 3.22)
string(REPLACE "," ";" HEADERS "${HEADERS}")
set(all "")
foreach(header ${HEADERS})
  file(SHA256 ${header} digest)
  string(APPEND all "${digest}\n")
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING ${digest} 0 16 digest)
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define EX_BUILD_ID \"@VERSION@ (@digest@)\"\n" @ONLY)
