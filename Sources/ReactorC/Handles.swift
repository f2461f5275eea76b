// Objects as C holds them: a retained object behind an opaque pointer. What it points to is checked by nobody, as everywhere in C.

/// Gives C an object of its own: `taken` ends that.
func handle(_ object: some AnyObject) -> OpaquePointer {
    unsafe OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

/// The object behind a handle that stays C's.
func lent<Object: AnyObject>(_ pointer: OpaquePointer, _ type: Object.Type = Object.self) -> Object {
    unsafe Unmanaged<Object>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
}

/// One more handle of an object that C has one of already.
func retained(_ pointer: OpaquePointer) -> OpaquePointer {
    _ = unsafe Unmanaged<AnyObject>.fromOpaque(UnsafeRawPointer(pointer)).retain()
    return unsafe pointer
}

/// The object behind a handle that C gives back.
func taken<Object: AnyObject>(_ pointer: OpaquePointer, _ type: Object.Type = Object.self) -> Object {
    unsafe Unmanaged<Object>.fromOpaque(UnsafeRawPointer(pointer)).takeRetainedValue()
}
