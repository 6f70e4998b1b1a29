//! rawtun: a minimal TUN<->UDP forwarder, to find the limit of the machine (static key, no handshake,
//! no replay window: a measuring instrument, not a VPN).
//!   rawtun --tun NAME --local IP --peer IP --port P --io plain|mmsg|gso --cipher none|lc-chacha|lc-aes [--nocsum]
//!   rawtun --fwd --local IP --peer IP --local2 IP --peer2 IP --port P    UDP-to-UDP relay (GRO in, GSO out), opaque packets
//!   rawtun --t2t --ns-a A --ns-b B --tun NAME [--vnet]     one process, TUN in A <-> TUN in B
mod coalesce;
mod forward;
mod seal;
mod segment;
mod wire;

use coalesce::Co;
use forward::forward;
use netflow_bench_tools::*;
use seal::Aead;
use segment::{take_frame, Tx};
use std::os::fd::RawFd;
use wire::*;

fn up_gso(tun: RawFd, udp: RawFd, k: &Aead, nocsum: bool) {
    let mut f = vec![0u8; VH + 65536 + 64];
    let mut tx = Tx::new(udp, true);
    loop {
        let n = unsafe { libc::read(tun, f.as_mut_ptr() as *mut _, f.len()) };
        if n < 0 {
            tx.flush();
            poll_in(tun);
            continue;
        }
        take_frame(&mut tx, k, &mut f[..n as usize], nocsum);
        if tx.used > 60000 {
            tx.flush();
        }
    }
}
fn down_gso(tun: RawFd, udp: RawFd, k: &Aead) {
    setsock_int(udp, libc::IPPROTO_UDP, UDP_GRO, 1).unwrap();
    const N: usize = 8;
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
    let mut co = Co::new(tun);
    loop {
        for i in 0..N {
            mm[i].msg_hdr.msg_control = ctl[i].as_mut_ptr() as *mut _;
            mm[i].msg_hdr.msg_controllen = 64;
        }
        let got = unsafe { libc::recvmmsg(udp, mm.as_mut_ptr(), N as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) };
        if got <= 0 {
            continue;
        }
        for i in 0..got as usize {
            let total = mm[i].msg_len as usize;
            let mut seg = total.max(1);
            unsafe {
                let mut cm = libc::CMSG_FIRSTHDR(&mm[i].msg_hdr);
                while !cm.is_null() {
                    if (*cm).cmsg_level == libc::IPPROTO_UDP && (*cm).cmsg_type == UDP_GRO {
                        seg = *(libc::CMSG_DATA(cm) as *const i32) as usize;
                    }
                    cm = libc::CMSG_NXTHDR(&mm[i].msg_hdr, cm);
                }
            }
            let mut o = 0;
            while o < total {
                let l = seg.min(total - o);
                let b = unsafe { std::slice::from_raw_parts_mut(bufs.as_mut_ptr().add(i * bl + o), l) };
                o += l;
                if !k.open(b) {
                    continue;
                }
                co.push(&mut b[HDR..l - TAG]);
            }
        }
        co.flush();
    }
}
fn up_simple(tun: RawFd, udp: RawFd, k: &Aead, batch: usize) {
    let mut f = vec![0u8; 2048];
    let mut tx = Tx::new(udp, false);
    loop {
        let n = unsafe { libc::read(tun, f.as_mut_ptr() as *mut _, f.len()) };
        if n < 0 {
            tx.flush();
            poll_in(tun);
            continue;
        }
        let r = tx.slot(n as usize);
        tx.buf[r.start + HDR..r.end - TAG].copy_from_slice(&f[..n as usize]);
        let c = tx.ctr;
        tx.ctr += 1;
        k.seal(c, &mut tx.buf[r]);
        if tx.segs.len() >= batch {
            tx.flush();
        }
    }
}
fn down_simple(tun: RawFd, udp: RawFd, k: &Aead, batch: usize) {
    let bl = 2048;
    let mut bufs = vec![0u8; batch * bl];
    let mut iov: Vec<libc::iovec> =
        (0..batch).map(|i| libc::iovec { iov_base: bufs[i * bl..].as_mut_ptr() as *mut _, iov_len: bl }).collect();
    let mut mm: Vec<libc::mmsghdr> = (0..batch)
        .map(|i| unsafe {
            let mut m: libc::mmsghdr = std::mem::zeroed();
            m.msg_hdr.msg_iov = &mut iov[i];
            m.msg_hdr.msg_iovlen = 1;
            m
        })
        .collect();
    loop {
        let got = if batch == 1 {
            let r = unsafe { libc::recv(udp, bufs.as_mut_ptr() as *mut _, bl, 0) };
            if r < 0 {
                continue;
            }
            mm[0].msg_len = r as u32;
            1
        } else {
            unsafe { libc::recvmmsg(udp, mm.as_mut_ptr(), batch as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) }
        };
        for i in 0..got.max(0) as usize {
            let l = mm[i].msg_len as usize;
            let b = &mut bufs[i * bl..i * bl + l];
            if !k.open(b) {
                continue;
            }
            unsafe { libc::write(tun, b[HDR..l - TAG].as_ptr() as *const _, l - HDR - TAG) };
        }
    }
}

fn main() {
    let a = Args::new();
    if a.flag("fwd") {
        let port: u16 = a.num("port", 5000);
        let x = udp_socket(&a.str("local", ""), port).unwrap();
        connect(x, &a.str("peer", ""), port).unwrap();
        let y = udp_socket(&a.str("local2", ""), port).unwrap();
        connect(y, &a.str("peer2", ""), port).unwrap();
        std::thread::spawn(move || forward(y, x));
        forward(x, y);
        return;
    }
    let name = a.str("tun", "rt0");
    if a.flag("t2t") {
        let vnet = a.flag("vnet");
        enter_netns(&a.str("ns-a", "-")).unwrap();
        let ta = tun_open(&name, vnet, false);
        enter_netns(&a.str("ns-b", "-")).unwrap();
        let tb = tun_open(&name, vnet, false);
        let cp = |from: RawFd, to: RawFd| {
            move || {
                let mut b = vec![0u8; 70000];
                loop {
                    let n = unsafe { libc::read(from, b.as_mut_ptr() as *mut _, b.len()) };
                    if n > 0 {
                        unsafe { libc::write(to, b.as_ptr() as *const _, n as usize) };
                    }
                }
            }
        };
        let t = std::thread::spawn(cp(ta, tb));
        std::thread::spawn(cp(tb, ta));
        t.join().unwrap();
        return;
    }
    let port: u16 = a.num("port", 5000);
    let udp = udp_socket(&a.str("local", "0.0.0.0"), port).unwrap();
    connect(udp, &a.str("peer", ""), port).unwrap();
    let io = a.str("io", "gso");
    let cipher = a.str("cipher", "none");
    let nocsum = a.flag("nocsum");
    let tun = tun_open(&name, io == "gso", io != "plain");
    let (c2, io2) = (cipher.clone(), io.clone());
    let t = std::thread::spawn(move || {
        let k = Aead::new(&c2);
        match io2.as_str() {
            "gso" => down_gso(tun, udp, &k),
            "mmsg" => down_simple(tun, udp, &k, 64),
            _ => down_simple(tun, udp, &k, 1),
        }
    });
    let k = Aead::new(&cipher);
    match io.as_str() {
        "gso" => up_gso(tun, udp, &k, nocsum),
        "mmsg" => up_simple(tun, udp, &k, 64),
        _ => up_simple(tun, udp, &k, 1),
    }
    t.join().unwrap();
}
