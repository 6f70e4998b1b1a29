//! udpbench: UDP blaster/sink across two network namespaces, in one process, exact loss.
//!   udpbench --ns-a A --ns-b B --src IP --dst IP --len 1372 --rate PPS --secs 2   (rate 0 = as fast as possible)
//!   udpbench ... --search           : also finds the highest rate with < --maxloss (0.01) loss
//!   --tx send|mmsg|gso  --rx recv|mmsg|gro  : syscalls used on each side (default mmsg/mmsg)
//! Prints one JSON object.
use netflow_bench_tools::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Barrier};

const BATCH: usize = 64;
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

#[derive(Default)]
struct Rx {
    pkts: AtomicU64,
    bytes: AtomicU64,
    reord: AtomicU64,
    cpu_us: AtomicU64,
    last_us: AtomicU64,
    first_us: AtomicU64,
}

#[derive(Clone)]
struct Cfg {
    nsa: String,
    nsb: String,
    src: String,
    dst: String,
    port: u16,
    len: usize,
    tx: String,
    rx: String,
    txcpu: i32,
    rxcpu: i32,
}

struct Res {
    sent: u64,
    fail: u64,
    recv: u64,
    bytes: u64,
    reord: u64,
    secs: f64,
    txcpu: f64,
    rxcpu: f64,
}
impl Res {
    fn loss(&self) -> f64 {
        if self.sent == 0 {
            1.0
        } else {
            1.0 - (self.recv.min(self.sent)) as f64 / self.sent as f64
        }
    }
    fn pps(&self) -> f64 {
        self.recv as f64 / self.secs
    }
    fn gbps(&self) -> f64 {
        self.bytes as f64 * 8e-9 / self.secs
    }
    fn json(&self) -> String {
        format!("{{\"sent\":{},\"sendfail\":{},\"recv\":{},\"loss\":{:.5},\"reorder\":{:.5},\"secs\":{:.3},\"offered_pps\":{:.0},\"pps\":{:.0},\"gbps\":{:.4},\"tx_cpu\":{:.3},\"rx_cpu\":{:.3}}}",
            self.sent, self.fail, self.recv, self.loss(), self.reord as f64 / self.recv.max(1) as f64, self.secs,
            self.sent as f64 / self.secs, self.pps(), self.gbps(), self.txcpu / self.secs, self.rxcpu / self.secs)
    }
}

fn receiver(c: &Cfg, magic: u32, st: &Rx, stop: &AtomicBool, bar: &Barrier) {
    enter_netns(&c.nsb).expect("netns b");
    pin_cpu(c.rxcpu);
    let fd = udp_socket(&c.dst, c.port).expect("rx bind");
    let gro = c.rx == "gro";
    if gro {
        setsock_int(fd, libc::IPPROTO_UDP, UDP_GRO, 1).expect("UDP_GRO");
    }
    let tv = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &tv as *const _ as *const libc::c_void, 16) };
    bar.wait();
    let n = if c.rx == "recv" {
        1
    } else if gro {
        8
    } else {
        BATCH
    };
    let bl = if gro { 65536 } else { 2048.max(c.len + 64) };
    let mut bufs = vec![0u8; n * bl];
    let mut iov: Vec<libc::iovec> =
        (0..n).map(|i| libc::iovec { iov_base: bufs[i * bl..].as_mut_ptr() as *mut _, iov_len: bl }).collect();
    let mut ctl = vec![0u8; n * 64];
    let mut mm: Vec<libc::mmsghdr> = (0..n)
        .map(|i| unsafe {
            let mut m: libc::mmsghdr = std::mem::zeroed();
            m.msg_hdr.msg_iov = &mut iov[i];
            m.msg_hdr.msg_iovlen = 1;
            m
        })
        .collect();
    let (mut next, mut pk, mut by, mut ro) = (0u64, 0u64, 0u64, 0u64);
    let t0 = now();
    while !stop.load(Relaxed) {
        let got: i32;
        if n == 1 && !gro {
            let r = unsafe { libc::recv(fd, bufs.as_mut_ptr() as *mut _, bl, 0) };
            if r < 0 {
                continue;
            }
            mm[0].msg_len = r as u32;
            got = 1;
        } else {
            if gro {
                for i in 0..n {
                    mm[i].msg_hdr.msg_control = ctl[i * 64..].as_mut_ptr() as *mut _;
                    mm[i].msg_hdr.msg_controllen = 64;
                }
            }
            got = unsafe { libc::recvmmsg(fd, mm.as_mut_ptr(), n as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) };
            if got <= 0 {
                continue;
            }
        }
        for i in 0..got as usize {
            let total = mm[i].msg_len as usize;
            let mut seg = total.max(1);
            if gro {
                unsafe {
                    let mut cm = libc::CMSG_FIRSTHDR(&mm[i].msg_hdr);
                    while !cm.is_null() {
                        if (*cm).cmsg_level == libc::IPPROTO_UDP && (*cm).cmsg_type == UDP_GRO {
                            seg = *(libc::CMSG_DATA(cm) as *const i32) as usize;
                        }
                        cm = libc::CMSG_NXTHDR(&mm[i].msg_hdr, cm);
                    }
                }
            }
            let mut o = 0;
            while o < total {
                let l = seg.min(total - o);
                let b = &bufs[i * bl + o..i * bl + o + l];
                o += l;
                if l < 16 || u32::from_le_bytes(b[8..12].try_into().unwrap()) != magic {
                    continue;
                }
                let s = u64::from_le_bytes(b[0..8].try_into().unwrap());
                if s < next {
                    ro += 1;
                } else {
                    next = s + 1;
                }
                pk += 1;
                by += l as u64;
            }
        }
        st.pkts.store(pk, Relaxed);
        st.bytes.store(by, Relaxed);
        st.reord.store(ro, Relaxed);
        let t = ((now() - t0) * 1e6) as u64;
        if st.first_us.load(Relaxed) == 0 {
            st.first_us.store(t.max(1), Relaxed);
        }
        st.last_us.store(t, Relaxed);
        st.cpu_us.store((thread_cpu() * 1e6) as u64, Relaxed);
    }
    unsafe { libc::close(fd) };
}

fn sender(c: &Cfg, magic: u32, rate: f64, secs: f64, bar: &Barrier) -> (u64, u64, f64, f64) {
    enter_netns(&c.nsa).expect("netns a");
    pin_cpu(c.txcpu);
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let fd = udp_socket(&c.src, 0).expect("tx bind");
    connect(fd, &c.dst, c.port).expect("connect");
    let gso = c.tx == "gso";
    let n = match c.tx.as_str() {
        "send" => 1,
        "gso" => (65000 / c.len).clamp(1, 64),
        _ => BATCH,
    };
    if gso {
        setsock_int(fd, libc::IPPROTO_UDP, UDP_SEGMENT, c.len as i32).expect("UDP_SEGMENT");
    }
    let mut buf = vec![0u8; n * c.len];
    for i in 0..n {
        buf[i * c.len + 8..i * c.len + 12].copy_from_slice(&magic.to_le_bytes());
    }
    let mut iov: Vec<libc::iovec> =
        (0..n).map(|i| libc::iovec { iov_base: buf[i * c.len..].as_mut_ptr() as *mut _, iov_len: c.len }).collect();
    let mut mm: Vec<libc::mmsghdr> = (0..n)
        .map(|i| unsafe {
            let mut m: libc::mmsghdr = std::mem::zeroed();
            m.msg_hdr.msg_iov = &mut iov[i];
            m.msg_hdr.msg_iovlen = 1;
            m
        })
        .collect();
    bar.wait();
    let (t0, c0) = (now(), thread_cpu());
    let (mut sent, mut fail) = (0u64, 0u64);
    let tick = 100e-6;
    loop {
        let e = now() - t0;
        if e >= secs {
            break;
        }
        let mut k = n;
        if rate > 0.0 {
            let due = (e * rate) as u64;
            let d = due.saturating_sub(sent + fail);
            let want = ((rate * tick) as u64).clamp(1, n as u64);
            if d < want {
                let ns = (tick * 1e9) as i64;
                let ts = libc::timespec { tv_sec: 0, tv_nsec: ns };
                unsafe { libc::nanosleep(&ts, std::ptr::null_mut()) };
                continue;
            }
            k = (d as usize).min(n);
        }
        for i in 0..k {
            buf[i * c.len..i * c.len + 8].copy_from_slice(&(sent + i as u64).to_le_bytes());
        }
        if gso {
            let r = unsafe { libc::send(fd, buf.as_ptr() as *const _, k * c.len, 0) };
            if r < 0 {
                fail += k as u64;
            } else {
                sent += k as u64;
            }
        } else if n == 1 {
            let r = unsafe { libc::send(fd, buf.as_ptr() as *const _, c.len, 0) };
            if r < 0 {
                fail += 1;
            } else {
                sent += 1;
            }
        } else {
            let r = unsafe { libc::sendmmsg(fd, mm.as_mut_ptr(), k as u32, 0) };
            if r < 0 {
                fail += 1;
            } else {
                sent += r as u64;
            }
        }
    }
    let el = now() - t0;
    let cpu = thread_cpu() - c0;
    unsafe { libc::close(fd) };
    (sent, fail, el, cpu)
}

fn probe(c: &Cfg, rate: f64, secs: f64) -> Res {
    static MAGIC: AtomicU64 = AtomicU64::new(0);
    let magic = (MAGIC.fetch_add(1, Relaxed) as u32).wrapping_mul(2654435761) ^ std::process::id() ^ 0x5a5a_0000;
    let st = Arc::new(Rx::default());
    let stop = Arc::new(AtomicBool::new(false));
    let bar = Arc::new(Barrier::new(2));
    let r = {
        let (c, st, stop, bar) = (c.clone(), st.clone(), stop.clone(), bar.clone());
        std::thread::spawn(move || receiver(&c, magic, &st, &stop, &bar))
    };
    let s = {
        let (c, bar) = (c.clone(), bar.clone());
        std::thread::spawn(move || sender(&c, magic, rate, secs, &bar))
    };
    let (sent, fail, el, txcpu) = s.join().unwrap();
    // drain until nothing new for 150 ms (max 1.5 s)
    let mut last = 0;
    let t = now();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(150));
        let v = st.pkts.load(Relaxed);
        if v == last || now() - t > 1.5 {
            break;
        }
        last = v;
    }
    stop.store(true, Relaxed);
    r.join().unwrap();
    let span = (st.last_us.load(Relaxed).saturating_sub(st.first_us.load(Relaxed))) as f64 * 1e-6;
    Res {
        sent,
        fail,
        recv: st.pkts.load(Relaxed),
        bytes: st.bytes.load(Relaxed),
        reord: st.reord.load(Relaxed),
        secs: el.max(span),
        txcpu,
        rxcpu: st.cpu_us.load(Relaxed) as f64 * 1e-6,
    }
}

fn main() {
    let a = Args::new();
    let c = Cfg {
        nsa: a.str("ns-a", "-"),
        nsb: a.str("ns-b", "-"),
        src: a.str("src", "0.0.0.0"),
        dst: a.str("dst", "127.0.0.1"),
        port: a.num("port", 7777),
        len: a.num("len", 1372usize),
        tx: a.str("tx", "mmsg"),
        rx: a.str("rx", "mmsg"),
        txcpu: a.num("tx-cpu", -1),
        rxcpu: a.num("rx-cpu", -1),
    };
    assert!(c.len >= 16);
    let secs: f64 = a.num("secs", 2.0);
    let rate: f64 = a.num("rate", 0.0);
    if !a.flag("search") {
        println!("{}", probe(&c, rate, secs).json());
        return;
    }
    let maxloss: f64 = a.num("maxloss", 0.01);
    let ps: f64 = a.num("probe-secs", 1.0);
    let blast = probe(&c, 0.0, ps);
    let mut best: Option<Res> = None;
    let mut maxdel = blast.pps();
    let (mut lo, mut hi) = (0.0f64, (blast.sent as f64 / blast.secs).max(1000.0));
    if blast.loss() <= maxloss {
        lo = hi;
        best = Some(blast_copy(&blast));
    }
    // geometric descent for a first good rate, then bisection
    let mut r = blast.pps().max(500.0) * 1.1;
    let mut steps = 0;
    while steps < 9 && hi / lo.max(1.0) > 1.04 {
        let p = probe(&c, r, ps);
        maxdel = maxdel.max(p.pps());
        if std::env::var("UB_V").is_ok() {
            eprintln!("try {:.0}: {}", r, p.json());
        }
        if p.loss() <= maxloss {
            lo = r;
            if best.as_ref().map_or(true, |b| p.pps() > b.pps()) {
                best = Some(p);
            }
        } else {
            hi = r;
        }
        r = if lo == 0.0 {
            hi * 0.7
        } else if hi / lo > 2.0 {
            lo * 1.5
        } else {
            (lo * hi).sqrt()
        };
        steps += 1;
    }
    let b = best.map(|b| b.json()).unwrap_or("null".into());
    println!("{{\"blast\":{},\"max_delivered_pps\":{:.0},\"ok\":{}}}", blast.json(), maxdel, b);
}
fn blast_copy(b: &Res) -> Res {
    Res { ..*b }
}
