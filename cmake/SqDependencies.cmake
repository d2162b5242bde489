# Everything squall links with; docs/dependencies.md argues each in one line.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(nng REQUIRED CONFIG)

pkg_check_modules(LIBNL REQUIRED IMPORTED_TARGET libnl-3.0)
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf)
pkg_check_modules(LIBCAP REQUIRED IMPORTED_TARGET libcap)
pkg_check_modules(LIBSECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(PROTOBUFC REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(LIBCURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(LIBYAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(LIBSYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(LIBCARES REQUIRED IMPORTED_TARGET libcares)
if(SQ_TESTS)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()

# mbed TLS 2.28 ships no pkg-config file in Debian 12.
find_library(MBEDCRYPTO_LIBRARY mbedcrypto REQUIRED)
add_library(sq_mbedcrypto INTERFACE)
target_link_libraries(sq_mbedcrypto INTERFACE ${MBEDCRYPTO_LIBRARY})
find_library(MBEDX509_LIBRARY mbedx509 REQUIRED)
find_library(MBEDTLS_LIBRARY mbedtls REQUIRED)
add_library(sq_mbedtls INTERFACE)
target_link_libraries(sq_mbedtls INTERFACE ${MBEDTLS_LIBRARY} ${MBEDX509_LIBRARY} ${MBEDCRYPTO_LIBRARY})

# Nor does libunistring.
find_library(UNISTRING_LIBRARY unistring REQUIRED)
find_path(UNISTRING_INCLUDE uniwidth.h REQUIRED)

find_program(PROTOC_C protoc-c REQUIRED)
find_program(BPF_CLANG clang REQUIRED)
find_program(BPFTOOL bpftool REQUIRED PATHS /usr/sbin /sbin)
