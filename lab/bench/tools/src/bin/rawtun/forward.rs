//! The relay that opens nothing.
use crate::wire::*;
use netflow_bench_tools::setsock_int;
use std::os::fd::RawFd;

/// Forwards datagrams from one connected socket to another without looking into them.
pub fn forward(from: RawFd, to: RawFd) {
    setsock_int(from, libc::IPPROTO_UDP, UDP_GRO, 1).unwrap();
    pub const N: usize = 8;
    let bl = 65536;
    let mut bufs = vec![0u8; N * bl];
    let mut iov: Vec<libc::iovec> =
        (0..N).map(|i| libc::iovec { iov_base: bufs[i * bl..].as_mut_ptr() as *mut _, iov_len: bl }).collect();
    let mut ctl = vec![[0u64; 8]; N];
    let mut mm: Vec<libc::mmsghdr> = (0..N)
        .map(|i| unsafe {
            let mut m: libc::mmsghdr = std::mem::zeroed();
            m.msg_hdr.msg_iov = &mut iov[i];
            m.msg_hdr.msg_iovlen = 1;
            m
        })
        .collect();
    loop {
        for i in 0..N {
            iov[i].iov_len = bl;
            mm[i].msg_hdr.msg_control = ctl[i].as_mut_ptr() as *mut _;
            mm[i].msg_hdr.msg_controllen = 64;
        }
        let got =
            unsafe { libc::recvmmsg(from, mm.as_mut_ptr(), N as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) };
        if got <= 0 {
            continue;
        }
        for i in 0..got as usize {
            let total = mm[i].msg_len as usize;
            let mut seg = 0usize;
            unsafe {
                let mut cm = libc::CMSG_FIRSTHDR(&mm[i].msg_hdr);
                while !cm.is_null() {
                    if (*cm).cmsg_level == libc::IPPROTO_UDP && (*cm).cmsg_type == UDP_GRO {
                        seg = *(libc::CMSG_DATA(cm) as *const i32) as usize;
                    }
                    cm = libc::CMSG_NXTHDR(&mm[i].msg_hdr, cm);
                }
            }
            iov[i].iov_len = total;
            mm[i].msg_hdr.msg_controllen = 0;
            mm[i].msg_hdr.msg_control = std::ptr::null_mut();
            if seg > 0 && seg < total {
                unsafe {
                    let c = ctl[i].as_mut_ptr() as *mut libc::cmsghdr;
                    (*c).cmsg_len = 18;
                    (*c).cmsg_level = libc::IPPROTO_UDP;
                    (*c).cmsg_type = UDP_SEGMENT;
                    *(libc::CMSG_DATA(c) as *mut u16) = seg as u16;
                }
                mm[i].msg_hdr.msg_control = ctl[i].as_mut_ptr() as *mut _;
                mm[i].msg_hdr.msg_controllen = 24;
            }
        }
        let mut s = 0;
        while s < got as usize {
            let r = unsafe { libc::sendmmsg(to, mm[s..].as_mut_ptr(), (got as usize - s) as u32, 0) };
            s += r.max(1) as usize;
        }
    }
}
