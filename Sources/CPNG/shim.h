/// The header of libpng, from Debian's libpng-dev.
#pragma once

#include <png.h>
