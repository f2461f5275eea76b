// The header is the whole of this target: the functions are written in Swift, which checks them against it.
#include "reactor.h"
