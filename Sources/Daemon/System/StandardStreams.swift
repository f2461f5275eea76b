// Descriptors 0 to 2 are open before anything else is: where one is closed, the next file or socket that the program opens would
// get its number, and the log be written into it.

import Glibc

public enum StandardStreams {
    /// Opens /dev/null at those of 0, 1 and 2 that are closed. The program's first step.
    public static func open() {
        for descriptor in CInt(0)...2 where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
            // The lowest free number is this one: those below it are open.
            let opened = unsafe Glibc.open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY)
            if opened >= 0, opened != descriptor { _ = Glibc.close(opened) }
        }
    }
}
