// A node in Rust, through the C library: greets its peers, and gives back what they say.
//
//     rustc echo.rs -L PREFIX/lib && LD_LIBRARY_PATH=PREFIX/lib ./echo 127.0.0.1:7005 127.0.0.1:7001
use std::ffi::{c_char, c_int, c_void, CStr, CString};

#[repr(C)]
struct Info { link: u64, peer: [c_char; 64], remote: [c_char; 64], is_outbound: u8, is_masternode: u8, is_native: u8, reserved: [u8; 5] }

#[repr(C)]
struct Callbacks {
    size: u32, context: *mut c_void,
    link_up: Option<unsafe extern "C" fn(*mut c_void, *const Info)>,
    link_down: Option<unsafe extern "C" fn(*mut c_void, *const Info, *const c_char)>,
    received: Option<unsafe extern "C" fn(*mut c_void, u64, u32, *const u8, usize)>,
    high_water: Option<unsafe extern "C" fn(*mut c_void, u64)>, low_water: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    stopped: Option<unsafe extern "C" fn(*mut c_void)>,
}

#[link(name = "reactor")]
extern "C" {
    fn reactor_error_text(error: c_int, buffer: *mut c_char, size: usize) -> *mut c_char;
    fn reactor_loop_create(options: *const c_void, made: *mut *mut c_void) -> c_int;
    fn reactor_loop_run(on: *mut c_void);
    fn reactor_node_callbacks_init(callbacks: *mut Callbacks);
    fn reactor_node_create(on: *mut c_void, options: *const c_void, callbacks: *const Callbacks, node: *mut *mut c_void) -> c_int;
    fn reactor_node_listen(node: *mut c_void, endpoint: *const c_char, bound: *mut c_char, size: usize) -> c_int;
    fn reactor_node_advertise(node: *mut c_void, endpoint: *const c_char) -> c_int;
    fn reactor_node_connect(node: *mut c_void, endpoint: *const c_char) -> c_int;
    fn reactor_node_start(node: *mut c_void);
    fn reactor_node_send(node: *mut c_void, link: u64, kind: u32, bytes: *const u8, count: usize) -> c_int;
}

fn check(error: c_int) {
    let mut text: [c_char; 128] = [0; 128];
    if error < 0 { panic!("{:?}", unsafe { CStr::from_ptr(reactor_error_text(error, text.as_mut_ptr(), 128)) }) }
}

// The context is a place that holds the node, which is made after its callbacks.
unsafe extern "C" fn link_up(node: *mut c_void, info: *const Info) {
    let info = &*info;
    let name = if info.peer[0] == 0 { &info.remote } else { &info.peer };
    println!("up {} {}", if info.is_outbound == 1 { "->" } else { "<-" }, CStr::from_ptr(name.as_ptr()).to_str().unwrap());
    reactor_node_send(*(node as *mut *mut c_void), info.link, 1000, b"hello".as_ptr(), 5);
}

unsafe extern "C" fn received(node: *mut c_void, link: u64, kind: u32, bytes: *const u8, count: usize) {
    let body = std::slice::from_raw_parts(bytes, count);
    println!("{} {}", if kind == 1000 { "greeted" } else { "echoed" }, String::from_utf8_lossy(body));
    if kind == 1000 { reactor_node_send(*(node as *mut *mut c_void), link, 1001, bytes, count); }
}

fn main() {
    let endpoints: Vec<CString> = std::env::args().skip(1).map(|text| CString::new(text).unwrap()).collect();
    let (mut reactor, mut node) = (std::ptr::null_mut(), std::ptr::null_mut());
    let mut bound: [c_char; 64] = [0; 64];
    unsafe {
        let mut callbacks: Callbacks = std::mem::zeroed();
        reactor_node_callbacks_init(&mut callbacks);
        callbacks.context = &mut node as *mut *mut c_void as *mut c_void;
        callbacks.link_up = Some(link_up);
        callbacks.received = Some(received);
        check(reactor_loop_create(std::ptr::null(), &mut reactor));
        check(reactor_node_create(reactor, std::ptr::null(), &callbacks, &mut node));
        check(reactor_node_listen(node, endpoints[0].as_ptr(), bound.as_mut_ptr(), 64));
        check(reactor_node_advertise(node, bound.as_ptr()));
        for peer in &endpoints[1..] { check(reactor_node_connect(node, peer.as_ptr())) }
        println!("listening on {}", CStr::from_ptr(bound.as_ptr()).to_str().unwrap());
        reactor_node_start(node);
        reactor_loop_run(reactor);
    }
}
