//! From UDP to TUN: packets of one flow go out as one large write.
use crate::seal::*;
use crate::wire::*;
use std::os::fd::RawFd;

/// Coalesces in-order packets of one flow to one GSO write.
pub struct Co {
    tun: RawFd,
    iov: Vec<libc::iovec>,
    vh: [u8; VH],
    first: *mut u8,
    h: usize,
    ihl: usize,
    proto: u8,
    gs: usize,
    nseq: u32,
    total: usize,
    closed: bool,
    n: usize,
    writes: u64,
}
impl Co {
    pub fn new(tun: RawFd) -> Co {
        Co {
            tun,
            iov: Vec::with_capacity(200),
            vh: [0; VH],
            first: std::ptr::null_mut(),
            h: 0,
            ihl: 0,
            proto: 0,
            gs: 0,
            nseq: 0,
            total: 0,
            closed: false,
            n: 0,
            writes: 0,
        }
    }
    pub fn flush(&mut self) {
        if self.n == 0 {
            return;
        }
        self.vh = [0; VH];
        if self.proto != 0 {
            let p = unsafe { std::slice::from_raw_parts_mut(self.first, self.h) };
            let co = if self.proto == 6 { 16 } else { 6 };
            if self.n > 1 {
                p[2..4].copy_from_slice(&(self.total as u16).to_be_bytes());
                p[10] = 0;
                p[11] = 0;
                let c = !fold(sum16(&p[..self.ihl]));
                p[10..12].copy_from_slice(&c.to_ne_bytes());
                if self.proto == 17 {
                    p[self.ihl + 4..self.ihl + 6].copy_from_slice(&((self.total - self.ihl) as u16).to_be_bytes());
                }
                self.vh[1] = if self.proto == 6 { GSO_TCPV4 } else { GSO_UDP_L4 };
                self.vh[2..4].copy_from_slice(&(self.h as u16).to_ne_bytes());
                self.vh[4..6].copy_from_slice(&(self.gs as u16).to_ne_bytes());
            }
            let ps = fold(pseudo(p, self.proto, self.total - self.ihl));
            p[self.ihl + co..self.ihl + co + 2].copy_from_slice(&ps.to_ne_bytes());
            self.vh[0] = 1;
            self.vh[6..8].copy_from_slice(&(self.ihl as u16).to_ne_bytes());
            self.vh[8..10].copy_from_slice(&(co as u16).to_ne_bytes());
        }
        self.iov[0] = libc::iovec { iov_base: self.vh.as_mut_ptr() as *mut _, iov_len: VH };
        unsafe { libc::writev(self.tun, self.iov.as_ptr(), self.iov.len() as i32) };
        self.writes += 1;
        self.n = 0;
    }
    /// p: decrypted packet, stays valid until flush
    pub fn push(&mut self, p: &mut [u8]) {
        let ok4 = p.len() >= 28 && p[0] == 0x45 && (p[6] & 0x3f) == 0 && p[7] == 0; // no fragments, no IP options
        let proto = if ok4 { p[9] } else { 0 };
        let (h, seq, close) = match proto {
            6 if p.len() >= 40 => {
                (20 + (p[32] >> 4) as usize * 4, u32::from_be_bytes(p[24..28].try_into().unwrap()), p[33] != 0x10)
            }
            17 => (28, 0, false),
            _ => (0, 0, true),
        };
        let plen = p.len().saturating_sub(h);
        if self.n > 0 {
            let f = unsafe { std::slice::from_raw_parts(self.first, self.h.max(20)) };
            let same = self.proto != 0
                && self.proto == proto
                && h == self.h
                && !self.closed
                && plen > 0
                && plen <= self.gs
                && self.total + plen <= 65535
                && self.n < MAXSEG
                && p[1] == f[1]
                && p[8] == f[8]
                && p[12..20] == f[12..20]
                && match proto {
                    6 => {
                        p[20..24] == f[20..24]
                            && seq == self.nseq
                            && p[28..32] == f[28..32]
                            && (p[33] & !0x08) == 0x10
                            && p[34..36] == f[34..36]
                            && p[40..h] == f[40..h]
                    }
                    17 => p[20..24] == f[20..24],
                    _ => false,
                };
            if same {
                if proto == 6 && p[33] & 0x08 != 0 {
                    unsafe { *self.first.add(33) |= 0x08 };
                }
                self.iov.push(libc::iovec { iov_base: p[h..].as_mut_ptr() as *mut _, iov_len: plen });
                self.total += plen;
                self.nseq = self.nseq.wrapping_add(plen as u32);
                self.n += 1;
                if plen < self.gs || (proto == 6 && close) {
                    self.closed = true;
                }
                return;
            }
            self.flush();
        }
        self.iov.clear();
        self.iov.push(libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
        self.iov.push(libc::iovec { iov_base: p.as_mut_ptr() as *mut _, iov_len: p.len() });
        self.first = p.as_mut_ptr();
        self.h = h;
        self.ihl = 20;
        self.proto = if h > 0 { proto } else { 0 };
        self.gs = plen;
        self.nseq = seq.wrapping_add(plen as u32);
        self.total = p.len();
        self.closed = close || plen == 0;
        self.n = 1;
    }
}
