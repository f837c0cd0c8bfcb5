//! Tests of the simulated disk.

use super::*;

fn fs_with_file() -> (SimFs, Arc<dyn File>) {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    let file = fs.open(Path::new("/d/f"), Open::Create).unwrap();
    (fs, file)
}

#[test]
fn synced_bytes_and_names_outlive_a_loss_of_power() {
    for seed in 0..50 {
        let (fs, file) = fs_with_file();
        fs.sync_dir(Path::new("/")).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"kept", 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(b"lost?", 4).unwrap();
        fs.power_loss(seed);
        let content = fs.read(Path::new("/d/f"), 100).unwrap();
        assert_eq!(&content[..4], b"kept", "seed {seed}");
        assert!(content.len() <= 9);
    }
}

#[test]
fn a_death_tears_the_write_and_stops_everything() {
    let (fs, file) = fs_with_file();
    fs.fault_after(0, SimFault::Death);
    assert!(file.write_at(b"abcdef", 0).is_err());
    assert!(file.read_at(&mut [0; 1], 0).is_err());
    fs.heal();
    assert_eq!(fs.read(Path::new("/d/f"), 100).unwrap(), b"abc");
}

#[test]
fn a_full_disk_refuses_writes_until_healed() {
    let (fs, file) = fs_with_file();
    fs.fault_after(1, SimFault::Full);
    file.write_at(b"a", 0).unwrap();
    assert_eq!(file.write_at(b"b", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(b"b", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    fs.heal();
    file.write_at(b"b", 1).unwrap();
}

#[test]
fn a_lock_is_held_until_dropped() {
    let (fs, _) = fs_with_file();
    let held = fs.try_lock(Path::new("/d/.lock")).unwrap();
    assert!(held.is_some());
    assert!(fs.try_lock(Path::new("/d/.lock")).unwrap().is_none());
    drop(held);
    assert!(fs.try_lock(Path::new("/d/.lock")).unwrap().is_some());
}
