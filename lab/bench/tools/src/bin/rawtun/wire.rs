//! Constants of the kernel and of the toy frame: 16 bytes header, ciphertext, 16 bytes tag. TUN devices.
use std::os::fd::RawFd;

pub const HDR: usize = 16;
pub const TAG: usize = 16;
pub const VH: usize = 10; // struct virtio_net_hdr
pub const UDP_SEGMENT: i32 = 103;
pub const UDP_GRO: i32 = 104;
pub const GSO_NONE: u8 = 0;
pub const GSO_TCPV4: u8 = 1;
pub const GSO_UDP_L4: u8 = 5;
pub const MAXSEG: usize = 128;
pub const MAXRUN: usize = 65000;

pub fn tun_open(name: &str, vnet: bool, nonblock: bool) -> RawFd {
    unsafe {
        let fd = libc::open(
            c"/dev/net/tun".as_ptr(),
            libc::O_RDWR | libc::O_CLOEXEC | if nonblock { libc::O_NONBLOCK } else { 0 },
        );
        assert!(fd >= 0, "open tun");
        let mut ifr: libc::ifreq = std::mem::zeroed();
        for (i, b) in name.bytes().enumerate() {
            ifr.ifr_name[i] = b as i8;
        }
        ifr.ifr_ifru.ifru_flags = (0x0001 | 0x1000 | if vnet { 0x4000 } else { 0 }) as i16; // TUN | NO_PI | VNET_HDR
        assert!(libc::ioctl(fd, 0x400454ca, &mut ifr) >= 0, "TUNSETIFF");
        if vnet {
            // CSUM | TSO4 | TSO6 | USO4 | USO6, else without USO
            let r = libc::ioctl(fd, 0x400454d0, 0x01 | 0x02 | 0x04 | 0x20 | 0x40);
            if r < 0 {
                assert!(libc::ioctl(fd, 0x400454d0, 0x01 | 0x02 | 0x04) >= 0, "TUNSETOFFLOAD");
                eprintln!("no USO");
            }
        }
        fd
    }
}

pub fn poll_in(fd: RawFd) {
    let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    unsafe { libc::poll(&mut p, 1, -1) };
}
