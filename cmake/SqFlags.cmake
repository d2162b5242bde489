# The one place for warning, hardening and sanitizer flags: every target of ours links sq_flags.
add_library(sq_flags INTERFACE)
target_compile_features(sq_flags INTERFACE c_std_17)
target_compile_definitions(sq_flags INTERFACE _GNU_SOURCE SQ_VERSION="${PROJECT_VERSION}")
target_compile_options(sq_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wundef -Wvla -Wformat=2 -Wnull-dereference
  -Wimplicit-fallthrough -Wwrite-strings -Wcast-align -Wpointer-arith -Wdate-time
  -fno-common -fno-strict-aliasing -fstack-protector-strong -fPIE)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(sq_flags INTERFACE -Wlogical-op -Wduplicated-cond -Wduplicated-branches
    -fstack-clash-protection -fcf-protection)
endif()
if(SQ_WERROR)
  target_compile_options(sq_flags INTERFACE -Werror)
endif()
target_link_options(sq_flags INTERFACE -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
if(SQ_SANITIZE)
  target_compile_options(sq_flags INTERFACE -fsanitize=${SQ_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(sq_flags INTERFACE -fsanitize=${SQ_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_definitions(sq_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(SQ_FUZZ)
  target_compile_options(sq_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
