def reward(s):
    vx, vy, vz = s.root_vel[:, 0], s.root_vel[:, 1], s.root_vel[:, 2]
    roll, pitch, yaw = s.root_rpy.unbind(dim=-1)
    return {"vx": vx, "drift": -(vy.abs() + vz.abs()), "tilt": -(roll**2 + pitch**2 + 0.1 * yaw**2)}
